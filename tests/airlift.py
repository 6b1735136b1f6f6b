"""Airlift's sketches, implemented independently from their layouts: builds a HyperLogLog from values, in the bytes that Trino
stores for `approx_set`, and reads a t-digest's bytes. Shares no code with logmill."""

import struct

MASK = (1 << 64) - 1

INDEX_BITS = 12
REGISTERS = 1 << INDEX_BITS
# A sparse sketch with this many entries takes more of Java's memory than a dense one.
DENSE_FROM_ENTRIES = 512
SPARSE, DENSE = 2, 3


def rotate(x, bits):
    return ((x << bits) | (x >> (64 - bits))) & MASK


def finish(x):
    x = ((x ^ (x >> 33)) * 0xFF51AFD7ED558CCD) & MASK
    x = ((x ^ (x >> 33)) * 0xC4CEB9FE1A85EC53) & MASK
    return x ^ (x >> 33)


def murmur3_64(key):
    """The first 64 bits of MurmurHash3_x64_128 with seed 0."""
    c1, c2 = 0x87C37B91114253D5, 0x4CF5AD432745937F
    h1 = h2 = 0
    blocks = len(key) // 16 * 16
    for start in range(0, blocks, 16):
        k1, k2 = struct.unpack_from("<QQ", key, start)
        h1 ^= rotate(k1 * c1 & MASK, 31) * c2 & MASK
        h1 = ((rotate(h1, 27) + h2) * 5 + 0x52DCE729) & MASK
        h2 ^= rotate(k2 * c2 & MASK, 33) * c1 & MASK
        h2 = ((rotate(h2, 31) + h1) * 5 + 0x38495AB5) & MASK
    k1, k2 = struct.unpack("<QQ", key[blocks:].ljust(16, b"\0"))
    h1 ^= rotate(k1 * c1 & MASK, 31) * c2 & MASK
    h2 ^= rotate(k2 * c2 & MASK, 33) * c1 & MASK
    h1, h2 = h1 ^ len(key), h2 ^ len(key)
    h1 = (h1 + h2) & MASK
    h2 = (h2 + h1) & MASK
    return (finish(h1) + finish(h2)) & MASK


def hashed(value):
    """The hash of a VARCHAR, BIGINT or DOUBLE."""
    if isinstance(value, str):
        return murmur3_64(value.encode())
    return murmur3_64(struct.pack("<d" if isinstance(value, float) else "<q", value))


def leading_zeros(x):
    return 64 - x.bit_length()


def hyper_log_log(values):
    """The sketch of distinct values, in the bytes that Trino stores. Returns None if there are no values, as in SQL."""
    hashes = [hashed(value) for value in values if value is not None]
    if not hashes:
        return None
    entries = {}
    for h in hashes:
        prefix = h >> 38
        zeros = leading_zeros((h << 26 & MASK) | 1 << 25)
        entries[prefix] = max(zeros, entries.get(prefix, 0))
    if len(entries) >= DENSE_FROM_ENTRIES:
        return dense(hashes)
    packed = (prefix << 6 | zeros for prefix, zeros in sorted(entries.items()))
    return struct.pack(f"<BBH{len(entries)}I", SPARSE, INDEX_BITS, len(entries), *packed)


def dense(hashes):
    registers = [0] * REGISTERS
    for h in hashes:
        index = h >> (64 - INDEX_BITS)
        value = leading_zeros((h << INDEX_BITS & MASK) | 1 << (INDEX_BITS - 1)) + 1
        registers[index] = max(value, registers[index])
    baseline = min(registers)
    above = [register - baseline for register in registers]
    deltas = [min(value, 15) for value in above]
    nibbles = bytes(deltas[k] << 4 | deltas[k + 1] for k in range(0, REGISTERS, 2))
    overflows = [(index, value - 15) for index, value in enumerate(above) if value > 15]
    indexes = struct.pack(f"<H{len(overflows)}H", len(overflows), *(index for index, _ in overflows))
    return bytes([DENSE, INDEX_BITS, baseline]) + nibbles + indexes + bytes(value for _, value in overflows)


def read_tdigest(stored):
    """A t-digest as (min, max, total weight, means, weights). Raises ValueError if the bytes are not a t-digest."""
    tag, least, greatest, compression, total, count = struct.unpack_from("<Bddddi", stored)
    if tag != 0 or compression != 100.0 or len(stored) != 37 + 16 * count:
        raise ValueError(f"no t-digest: tag {tag}, compression {compression}, {count} centroids in {len(stored)} bytes")
    numbers = struct.unpack_from(f"<{2 * count}d", stored, 37)
    return least, greatest, total, numbers[:count], numbers[count:]
