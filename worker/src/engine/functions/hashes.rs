//! Trino's functions of binary values: hashes, base64, hexadecimal and UTF-8.

use arrow::array::{ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::DataType::{Binary, Float64, Int32, Int64, Utf8View};
use arrow::datatypes::{DataType, Int32Type};
use datafusion::common::{Result, exec_err};
use hmac::{Hmac, KeyInit, Mac};
use logmill_trino::binary::{self, BASE64, BASE64URL};
use sha2::Digest;

use super::rows::{Bigint, Bytes, Computed, Double, Outcome, Text, one, two};
use super::{Scalar, returns_bigint, returns_text};

/// Functions that never fail.
pub(super) const NEVER_FAIL: [&str; 17] = [
    "crc32",
    "hmac_md5",
    "hmac_sha1",
    "hmac_sha256",
    "hmac_sha512",
    "md5",
    "sha1",
    "sha256",
    "sha512",
    "to_base64",
    "to_base64url",
    "to_big_endian_32",
    "to_big_endian_64",
    "to_hex",
    "to_ieee754_64",
    "to_utf8",
    "xxhash64",
];

/// Functions that may fail for some line.
pub(super) const MAY_FAIL: [&str; 7] = [
    "from_base64",
    "from_base64url",
    "from_big_endian_32",
    "from_big_endian_64",
    "from_hex",
    "from_ieee754_64",
    "from_utf8",
];

pub(super) fn functions() -> Vec<Scalar> {
    let encoded = |name, evaluate| Scalar::new(name, vec![Binary], returns_text, evaluate);
    let decoded = |name, evaluate| {
        Scalar::overloaded(
            name,
            vec![vec![Utf8View], vec![Binary]],
            returns_binary,
            evaluate,
        )
    };
    let mut functions = vec![
        encoded("to_base64", |args| {
            one::<Bytes, _>(args, |bytes| Ok(binary::to_base64(bytes, &BASE64)))
        }),
        encoded("to_base64url", |args| {
            one::<Bytes, _>(args, |bytes| Ok(binary::to_base64(bytes, &BASE64URL)))
        }),
        encoded("to_hex", |args| {
            one::<Bytes, _>(args, |bytes| Ok(binary::to_hex(bytes)))
        }),
        decoded("from_base64", |args| {
            of_either(args, |text| binary::from_base64(text, &BASE64))
        }),
        decoded("from_base64url", |args| {
            of_either(args, |text| binary::from_base64(text, &BASE64URL))
        }),
        decoded("from_hex", |args| of_either(args, binary::from_hex)),
        Scalar::new("to_utf8", vec![Utf8View], returns_binary, |args| {
            one::<Text, _>(args, |text| Ok(text.as_bytes().to_vec()))
        }),
        Scalar::overloaded(
            "from_utf8",
            vec![vec![Binary], vec![Binary, Utf8View]],
            returns_text,
            from_utf8,
        ),
        Scalar::new("crc32", vec![Binary], returns_bigint, |args| {
            one::<Bytes, _>(args, |bytes| Ok(i64::from(crc32fast::hash(bytes))))
        }),
        hash("xxhash64", |args| {
            one::<Bytes, _>(args, |bytes| {
                Ok(logmill_sketch::xx_hash(bytes).to_be_bytes().to_vec())
            })
        }),
        hash("md5", digested::<md5::Md5>),
        hash("sha1", digested::<sha1::Sha1>),
        hash("sha256", digested::<sha2::Sha256>),
        hash("sha512", digested::<sha2::Sha512>),
        keyed("hmac_md5", authenticated::<Hmac<md5::Md5>>),
        keyed("hmac_sha1", authenticated::<Hmac<sha1::Sha1>>),
        keyed("hmac_sha256", authenticated::<Hmac<sha2::Sha256>>),
        keyed("hmac_sha512", authenticated::<Hmac<sha2::Sha512>>),
    ];
    functions.extend(big_endian());
    functions
}

fn returns_binary(_: &[DataType]) -> DataType {
    Binary
}

fn hash(name: &'static str, evaluate: fn(&[ArrayRef]) -> Result<ArrayRef>) -> Scalar {
    Scalar::new(name, vec![Binary], returns_binary, evaluate)
}

fn keyed(name: &'static str, evaluate: fn(&[ArrayRef]) -> Result<ArrayRef>) -> Scalar {
    Scalar::new(name, vec![Binary, Binary], returns_binary, evaluate)
}

/// Numbers as bytes, the most significant first.
fn big_endian() -> [Scalar; 6] {
    let bytes_of =
        |name, number, evaluate| Scalar::new(name, vec![number], returns_binary, evaluate);
    [
        bytes_of("to_big_endian_64", Int64, |args| {
            one::<Bigint, _>(args, |number: i64| Ok(number.to_be_bytes().to_vec()))
        }),
        bytes_of("to_big_endian_32", Int32, |args| {
            let integers = first(args)?.as_primitive::<Int32Type>().iter();
            let bytes = integers.map(|number| Some(number?.to_be_bytes().to_vec()));
            Ok(Vec::<u8>::column(bytes.collect()))
        }),
        bytes_of("to_ieee754_64", Float64, |args| {
            one::<Double, _>(args, |number: f64| Ok(number.to_be_bytes().to_vec()))
        }),
        Scalar::new("from_big_endian_64", vec![Binary], returns_bigint, |args| {
            one::<Bytes, _>(args, |bytes| {
                binary::big_endian(bytes).map(i64::from_be_bytes)
            })
        }),
        Scalar::new(
            "from_big_endian_32",
            vec![Binary],
            |_| Int32,
            |args| {
                let numbers = one::<Bytes, _>(args, |bytes| {
                    binary::big_endian(bytes).map(|bytes| i64::from(i32::from_be_bytes(bytes)))
                })?;
                Ok(cast(&numbers, &Int32)?)
            },
        ),
        Scalar::new(
            "from_ieee754_64",
            vec![Binary],
            |_| Float64,
            |args| {
                one::<Bytes, _>(args, |bytes| {
                    binary::big_endian(bytes).map(f64::from_be_bytes)
                })
            },
        ),
    ]
}

fn first(args: &[ArrayRef]) -> Result<&ArrayRef> {
    match args.first() {
        Some(first) => Ok(first),
        None => exec_err!("expected an argument"),
    }
}

/// Computes from the bytes of a text or of a binary value.
fn of_either(args: &[ArrayRef], compute: fn(&[u8]) -> Outcome<Vec<u8>>) -> Result<ArrayRef> {
    match first(args)?.data_type() {
        Utf8View => one::<Text, _>(args, |text| compute(text.as_bytes())),
        _ => one::<Bytes, _>(args, compute),
    }
}

fn from_utf8(args: &[ArrayRef]) -> Result<ArrayRef> {
    match args.len() {
        1 => one::<Bytes, _>(args, |bytes| {
            Ok(binary::from_utf8(bytes, Some(char::REPLACEMENT_CHARACTER)))
        }),
        _ => two::<Bytes, Text, _>(args, |bytes, replacement| {
            Ok(binary::from_utf8(bytes, binary::replacement(replacement)?))
        }),
    }
}

fn digested<D: Digest>(args: &[ArrayRef]) -> Result<ArrayRef> {
    one::<Bytes, _>(args, |bytes| Ok(D::digest(bytes).to_vec()))
}

fn authenticated<M: Mac + KeyInit>(args: &[ArrayRef]) -> Result<ArrayRef> {
    two::<Bytes, Bytes, _>(args, |bytes, key| {
        let mut code = <M as KeyInit>::new_from_slice(key).map_err(|error| error.to_string())?;
        code.update(bytes);
        Ok(code.finalize().into_bytes().to_vec())
    })
}
