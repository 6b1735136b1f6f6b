use super::*;
use crate::testing::{Lcg, hex, mutations, sha256, unhex};

fn of_hashes(index_bits: u8, hashes: impl IntoIterator<Item = u64>) -> HyperLogLog {
    let mut sketch = HyperLogLog::with_index_bits(index_bits);
    for hash in hashes {
        sketch.insert_hash(hash);
    }
    sketch
}

fn of_users(ids: std::ops::Range<u32>) -> HyperLogLog {
    of_hashes(12, ids.map(|id| hash_varchar(&format!("user-{id}"))))
}

fn of_bigints(index_bits: u8, values: impl IntoIterator<Item = i64>) -> HyperLogLog {
    of_hashes(index_bits, values.into_iter().map(hash_bigint))
}

fn dense(mut sketch: HyperLogLog) -> HyperLogLog {
    sketch.make_dense();
    sketch
}

fn merged(mut ours: HyperLogLog, theirs: &HyperLogLog) -> HyperLogLog {
    let mut from_bytes = ours.clone();
    ours.merge(theirs).unwrap();
    from_bytes.merge_bytes(&theirs.to_bytes()).unwrap();
    assert_eq!(ours, from_bytes, "merge and merge_bytes do the same");
    ours
}

/// Hashes that often have long runs of zeros, so that registers overflow and entries with the same prefix differ.
/// Some hashes are equal.
fn odd_hashes(count: usize, random: &mut Lcg) -> Vec<u64> {
    let mut hash = || match random.below(4) {
        0 => random.next() >> random.below(64),
        1 => random.next() & !(u64::MAX >> random.below(64)),
        2 => (random.below(5000) << 52) | (random.next() >> 12 >> random.below(52)),
        _ => random.next(),
    };
    (0..count).map(|_| hash()).collect()
}

#[test]
fn hashes_what_approx_set_hashes() {
    assert_eq!(hash_bigint(0), 0x28df_63b7_cc57_c3cb);
    assert_eq!(hash_bigint(1), 0x0044_03b7_fb05_c44a);
    assert_eq!(hash_bigint(-1), 0xa0e4_b27a_1aba_ed73);
    assert_eq!(hash_bigint(42), 0xb6ac_c399_89d2_7df8);
    assert_eq!(hash_bigint(61697), 0xa920_000e_1cd9_a4c5);
    assert_eq!(hash_bigint(394873), 0xfd00_0003_9c6a_5581);
    assert_eq!(hash_bigint(i64::MAX), 0x6c76_ebcb_dad6_69d4);
    assert_eq!(hash_double(1.5), 0xf262_c8fe_30b0_f8b3);
    assert_eq!(hash_varchar("héllo"), 0x4e31_7b11_7285_5c8a);
    assert_eq!(
        hash_double(-f64::NAN),
        hash_double(f64::from_bits(0x7ff8_0000_0000_0001))
    );
    assert_ne!(hash_double(0.0), hash_double(-0.0));
}

#[test]
fn writes_small_sketches_as_airlift_does() {
    let names = ["alice", "bob", "carol"].map(hash_varchar);
    let doubles = [1.5, -0.0].map(hash_double);
    let vectors = [
        (HyperLogLog::new(), "020c0000"),
        (of_hashes(12, [names[0]]), "020c0100 814f1a4f"),
        (of_hashes(12, names), "020c0300 814f1a4f 021f1bb5 c33c02d4"),
        (
            of_bigints(12, 0..5),
            "020c0500 80034400 8063df28 00583d5b 01d219b4 802008de",
        ),
        (of_hashes(12, doubles), "020c0200 c09d1501 c0c862f2"),
        (of_hashes(12, [hash64(&[64])]), "020c0100 42342021"),
        (of_bigints(4, 0..100), "030402 4523013122050401 0000"),
        (
            of_bigints(4, (0..100).chain([37227])),
            "030402 45230131220504f1 0100 0e00 05",
        ),
        (
            of_bigints(4, [37227].into_iter().chain(0..100)),
            "030402 45230131220504f1 0100 0e00 05",
        ),
    ];
    for (sketch, bytes) in vectors {
        assert_eq!(sketch.to_bytes(), unhex(bytes), "{bytes}");
    }
}

#[test]
fn writes_large_sketches_as_airlift_does() {
    let vectors = [
        (
            100,
            100,
            404,
            "c76f65377dc9757dfc5425de873c35141b9a1d58948d4f3b98475319d328d2f2",
        ),
        (
            500,
            500,
            2004,
            "b6260debd393343a390821e0f70b3df2041718364087fcb77f2eef73716803c4",
        ),
        (
            520,
            516,
            2053,
            "6fad1d8c8a5b4d3c0cb4f9b55c3beb88a6b3ae3bd9119dc438f69e0c5d8defd0",
        ),
        (
            540,
            536,
            2053,
            "2c1ca5d562336f67684ba75d6b123660ca95b6f3b3543cb519856c930852eba6",
        ),
        (
            1000,
            998,
            2053,
            "b1689a37e7f318b9f0b6a40836ce7b7697d4a8e7310855ba17f3cbb80f08162c",
        ),
        (
            10_000,
            9881,
            2053,
            "8998462f29903225d9745a936ebee10a254538fb37b2e2913c5ad91a8364c0dd",
        ),
        (
            100_000,
            99_436,
            2053,
            "6da0b4b5a270d8ab85d988ade5e66bdda0ff6d1d169bceec70c411da3f519126",
        ),
        (
            1_000_000,
            1_003_091,
            2056,
            "afdbeb985934da8824c99f069a2af44ab1e40478b2ed54f9269cb396c7f4a9d3",
        ),
    ];
    for (users, cardinality, len, sha) in vectors {
        let sketch = of_users(0..users);
        let bytes = sketch.to_bytes();
        assert_eq!(
            (sketch.cardinality(), bytes.len()),
            (cardinality, len),
            "{users} users"
        );
        assert_eq!(sha256(&bytes), sha, "{users} users");
        assert_eq!(HyperLogLog::from_bytes(&bytes), Ok(sketch), "{users} users");
    }
}

#[test]
fn writes_dense_registers_as_airlift_does() {
    let alice = dense(of_hashes(12, [hash_varchar("alice")])).to_bytes();
    assert_eq!(
        sha256(&alice),
        "eafb9a2ac98de2ae2b88d0c21aa8150ef97f1940843c3e2639da1a407a6ee883"
    );

    // TestDenseSerialization.java: testSingleNoOverflow, testSingleWithOverflow, testMultipleOverflow
    let cases = [
        (vec![0], vec![(326, 0x01)], "0000"),
        (vec![61697], vec![(1353, 0xf0)], "0100 920a 02"),
        (
            vec![394873, 61697],
            vec![(1353, 0xf0), (2024, 0xf0)],
            "0200 920a d00f 02 04",
        ),
    ];
    for (values, deltas, overflows) in cases {
        let mut expected = [&[3, 12, 0][..], &[0; 2048]].concat();
        for (slot, packed) in deltas {
            expected[3 + slot] = packed;
        }
        expected.extend(unhex(overflows));
        let sketch = dense(of_bigints(12, values.iter().copied()));
        assert_eq!(sketch.to_bytes(), expected, "{values:?}");
        assert_eq!(HyperLogLog::from_bytes(&expected), Ok(sketch), "{values:?}");
    }
}

#[test]
fn reads_the_first_dense_version() {
    // TestDenseSerialization.java: testDeserializeDenseV1NoOverflows, and the same with one overflow
    let v1 = |rest: &str| HyperLogLog::from_bytes(&unhex(&format!("01040a {rest}")));
    let v2 = |rest: &str| HyperLogLog::from_bytes(&unhex(&format!("03040a {rest}")));
    assert_eq!(v1("0000000000000000 ffff 00"), v2("0000000000000000 0000"));
    assert_eq!(v1("0000000000000000 0100 00"), v2("0000000000000000 0000"));
    assert_eq!(
        v1("0f00000000000000 0100 05"),
        v2("0f00000000000000 0100 0100 05")
    );
    assert!(v1("0f00000000000000 0100 05").is_ok());
    assert!(v1("0f00000000000000 0100").is_err());
    assert!(v1("0f00000000000000 0100 05 00").is_err());
}

#[test]
fn turns_dense_at_the_512th_prefix() {
    let is_sparse = |sketch: &HyperLogLog| matches!(sketch.form, Form::Sparse(_));
    let mut sketch = HyperLogLog::new();
    for i in 1..=511 {
        sketch.insert_hash(i << 40);
    }
    assert!(is_sparse(&sketch));
    let merged = merged(sketch.clone(), &of_hashes(12, [512 << 40]));
    sketch.insert_hash(512 << 40);
    assert!(!is_sparse(&sketch));
    assert_eq!(merged, sketch);
    assert_eq!([4, 16].map(dense_from), [2, 8192]);
}

#[test]
fn merges_as_airlift_does() {
    let union = merged(of_users(0..300), &of_users(200..3000));
    assert_eq!(union.cardinality(), 2965);
    let sha = "2c4b56a47274132a760797e199063ae463b7c920b09335047a7693949e08565b";
    assert_eq!(sha256(&union.to_bytes()), sha);
    assert_eq!(union, merged(of_users(200..3000), &of_users(0..300)));
}

#[test]
fn what_is_written_depends_only_on_the_set_of_hashes() {
    for seed in 0..600 {
        let mut random = Lcg(seed);
        let index_bits = [4, 5, 8, 11, 12, 12, 12, 16][random.below(8) as usize];
        let most = [4, 30, 300, 600, 3000][random.below(5) as usize];
        let count = random.below(most) as usize;
        let hashes = odd_hashes(count, &mut random);
        let expected = of_hashes(index_bits, hashes.iter().copied());

        // the same hashes in another order, split into parts (some of them dense), which are merged in turn
        let mut parts: Vec<HyperLogLog> = Vec::new();
        let mut rest = &hashes[..];
        while !rest.is_empty() {
            let (part, others) = rest.split_at(1 + random.below(rest.len() as u64) as usize);
            let part = of_hashes(index_bits, part.iter().rev().copied());
            parts.push(part);
            rest = others;
        }
        let empty = || HyperLogLog::with_index_bits(index_bits);
        let forward = parts.iter().fold(empty(), merged);
        let reverse = parts
            .iter()
            .rev()
            .fold(empty(), |sum, part| merged(part.clone(), &sum));
        assert_eq!(forward, expected, "seed {seed}");
        assert_eq!(reverse, expected, "seed {seed}");
        let densely = parts.iter().fold(dense(empty()), merged);
        assert_eq!(densely, dense(expected.clone()), "seed {seed}");
        let densely = parts
            .iter()
            .fold(empty(), |sum, part| merged(sum, &dense(part.clone())));
        assert!(
            densely == dense(expected.clone()) || hashes.is_empty(),
            "seed {seed}"
        );

        // the registers are those of the hashes themselves, whatever the order of merges
        let mut registers = vec![0; buckets(index_bits)];
        for hash in hashes {
            let (bucket, value) = dense_register(hash, index_bits);
            raise(&mut registers, bucket, value);
        }
        assert_eq!(densely.clone().make_dense(), registers, "seed {seed}");
        assert_eq!(
            HyperLogLog::from_bytes(&expected.to_bytes()),
            Ok(expected),
            "seed {seed}"
        );
        assert_eq!(
            HyperLogLog::from_bytes(&densely.to_bytes()),
            Ok(densely),
            "seed {seed}"
        );
    }
}

#[test]
fn counts_within_the_error_of_its_buckets() {
    for index_bits in 4..=16 {
        let mut random = Lcg(index_bits.into());
        let mut sketch = HyperLogLog::with_index_bits(index_bits);
        let standard_error = 1.04 / (buckets(index_bits) as f64).sqrt();
        for count in 1..=300_000u64 {
            sketch.insert_hash(hash64_of_u64(random.next()));
            if count.is_power_of_two() || count == 300_000 {
                let error = sketch.cardinality() as f64 / count as f64 - 1.0;
                assert!(
                    error.abs() < 4.0 * standard_error,
                    "{count} in 2^{index_bits}: {error}"
                );
            }
        }
    }
}

#[test]
fn stays_small() {
    assert!(size_of::<HyperLogLog>() <= 32);
    assert_eq!(HyperLogLog::new().heap_bytes(), 0);
    let mut sketch = of_users(0..1);
    assert_eq!(sketch.heap_bytes(), 16);
    for _ in 0..1000 {
        sketch.insert_hash(hash_varchar("user-0"));
    }
    assert_eq!(sketch.heap_bytes(), 16);
    for users in [10, 100, 300, 511] {
        let heap_bytes = of_users(0..users).heap_bytes();
        assert!(
            heap_bytes <= 4 * users as usize * 3 / 2 + 16,
            "{users}: {heap_bytes}"
        );
    }
    assert_eq!(of_users(0..10_000).heap_bytes(), 4096);
    assert_eq!(
        HyperLogLog::from_bytes(&of_users(0..100).to_bytes())
            .unwrap()
            .heap_bytes(),
        400
    );
}

#[test]
fn says_what_is_wrong_with_bytes() {
    let cases = [
        ("", "malformed HyperLogLog: 0 bytes instead of 4"),
        ("02", "malformed HyperLogLog: 1 bytes instead of 4"),
        ("03 0c", "malformed HyperLogLog: 2 bytes instead of 4"),
        ("07 0c", "not a HyperLogLog: format tag 0x07"),
        ("00 0c 0000", "not a HyperLogLog: format tag 0x00"),
        ("02 0c 0100", "malformed HyperLogLog: 4 bytes instead of 8"),
        (
            "02 0c 0000 00",
            "malformed HyperLogLog: 5 bytes instead of 4",
        ),
        ("02 0c ffff", "malformed HyperLogLog: -1 entries"),
        (
            "02 0c ff7f",
            "malformed HyperLogLog: 4 bytes instead of 131072",
        ),
        (
            "02 03 0000",
            "cannot read a HyperLogLog with 2^3 buckets: 2^4 to 2^16 are supported",
        ),
        (
            "03 ff 0000",
            "cannot read a HyperLogLog with 2^255 buckets: 2^4 to 2^16 are supported",
        ),
        (
            "02 0c 0100 3f000000",
            "malformed HyperLogLog: entry 0 has 63 zeros of 38 bits",
        ),
        (
            "02 0c 0200 40000000 41000000",
            "malformed HyperLogLog: entry 1 is not above the one before it",
        ),
        (
            "02 0c 0200 ff000000 41000000",
            "malformed HyperLogLog: entry 0 has 63 zeros of 38 bits",
        ),
        (
            "03 04 00 00000000",
            "malformed HyperLogLog: 7 bytes instead of 13",
        ),
        (
            "03 04 00 0000000000000000 00",
            "malformed HyperLogLog: 12 bytes instead of 13",
        ),
        (
            "03 04 00 0000000000000000 ffff",
            "malformed HyperLogLog: 13 bytes instead of 196618",
        ),
        (
            "03 04 00 0000000000000000 0000 00",
            "malformed HyperLogLog: 14 bytes instead of 13",
        ),
        (
            "03 04 3e 0000000000000000 0000",
            "malformed HyperLogLog: invalid baseline 62",
        ),
        (
            "03 04 3d 0000000000000001 0000",
            "malformed HyperLogLog: a register is above 61",
        ),
        (
            "03 04 00 f000000000000000 0100 1000 01",
            "malformed HyperLogLog: overflow of bucket 16, which does not exist",
        ),
        (
            "03 04 00 f000000000000000 0100 0100 01",
            "malformed HyperLogLog: overflow of bucket 1, which is not full",
        ),
        (
            "03 04 00 f000000000000000 0100 0000 00",
            "malformed HyperLogLog: overflow of bucket 0 by 0",
        ),
        (
            "03 04 00 f000000000000000 0100 0000 2f",
            "malformed HyperLogLog: overflow of bucket 0 by 47",
        ),
        (
            "03 04 00 ff00000000000000 0300 0100 0000 0100 010101",
            "malformed HyperLogLog: two overflows of bucket 1",
        ),
    ];
    for (bytes, message) in cases {
        let error = HyperLogLog::from_bytes(&unhex(bytes)).unwrap_err();
        assert_eq!(error.to_string(), message, "{bytes}");
    }
    // 0x2e is the highest value that fits; and Java accepts overflows in any order
    let sound = unhex("03 04 00 ff00000000000000 0200 0100 0000 2e01");
    assert_eq!(
        hex(&HyperLogLog::from_bytes(&sound).unwrap().to_bytes()),
        "030400ff0000000000000002000000010001".to_string() + "2e"
    );
}

#[test]
fn a_refused_merge_changes_nothing() {
    let mut sketch = of_users(0..10);
    let before = sketch.clone();
    let error = sketch.merge(&of_bigints(4, 0..100)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot merge HyperLogLogs with 4096 and 16 buckets"
    );
    assert_eq!(
        sketch.merge_bytes(&of_bigints(4, 0..100).to_bytes()),
        Err(error)
    );
    let mut cut = of_users(5..600).to_bytes();
    cut.pop();
    assert!(sketch.merge_bytes(&cut).is_err());
    assert_eq!(sketch, before);
}

#[test]
fn malformed_bytes_never_panic() {
    let mut random = Lcg(7);
    let overflowing = dense(of_hashes(6, odd_hashes(200, &mut random)));
    let samples = [
        HyperLogLog::new(),
        of_users(0..20),
        of_users(0..400),
        of_bigints(4, 0..100),
        overflowing,
        of_users(0..600),
    ];
    let mut refused = 0;
    for (i, sample) in samples.iter().enumerate() {
        for bytes in mutations(&sample.to_bytes(), 4000, i as u64) {
            let Ok(sketch) = HyperLogLog::from_bytes(&bytes) else {
                refused += 1;
                continue;
            };
            sketch.cardinality();
            assert_eq!(
                HyperLogLog::from_bytes(&sketch.to_bytes()),
                Ok(sketch.clone())
            );
            let mut sum = sample.clone();
            assert_eq!(sum.merge_bytes(&bytes), sample.clone().merge(&sketch));
        }
    }
    assert!(
        (8_000..23_000).contains(&refused),
        "of 24,000 refused {refused}"
    );
}
