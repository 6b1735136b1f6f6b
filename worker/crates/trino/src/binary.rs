//! Functions of binary values and of the texts that stand for them.

use base64::Engine;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// As Java's decoders: padding may be missing, and unused bits of the last character may be set.
const CONFIG: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_allow_trailing_bits(true)
    .with_decode_padding_mode(DecodePaddingMode::Indifferent);

/// The alphabet of `from_base64` and `to_base64`.
pub const BASE64: GeneralPurpose = GeneralPurpose::new(&STANDARD, CONFIG);

/// The alphabet of `from_base64url` and `to_base64url`.
pub const BASE64URL: GeneralPurpose = GeneralPurpose::new(&URL_SAFE, CONFIG);

/// `from_base64(x)` and `from_base64url(x)`.
pub fn from_base64(text: &[u8], alphabet: &GeneralPurpose) -> Result<Vec<u8>, String> {
    // Java refuses padding that is there in part.
    if text.ends_with(b"=") && !text.len().is_multiple_of(4) {
        return Err("Input byte array has wrong 4-byte ending unit".to_owned());
    }
    alphabet.decode(text).map_err(|error| error.to_string())
}

/// `to_base64(x)` and `to_base64url(x)`.
pub fn to_base64(bytes: &[u8], alphabet: &GeneralPurpose) -> String {
    alphabet.encode(bytes)
}

/// `to_hex(x)`.
pub fn to_hex(bytes: &[u8]) -> String {
    let digit =
        |value: u8| char::from_digit(u32::from(value), 16).map(|digit| digit.to_ascii_uppercase());
    bytes
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)])
        .flatten()
        .collect()
}

/// `from_hex(x)`.
pub fn from_hex(text: &[u8]) -> Result<Vec<u8>, String> {
    let (pairs, rest) = text.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(format!("invalid input length {}", text.len()));
    }
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let byte = |[high, low]: [u8; 2]| u8::try_from(digit(high)? * 16 + digit(low)?).ok();
    let bytes = pairs.iter().map(|pair| byte(*pair));
    bytes
        .collect::<Option<_>>()
        .ok_or_else(|| "not a hexadecimal digit".to_owned())
}

/// `from_utf8(x)` and `from_utf8(x, replacement)`. Each invalid sequence is replaced once, or removed without a replacement.
pub fn from_utf8(bytes: &[u8], replacement: Option<char>) -> String {
    let mut text = String::with_capacity(bytes.len());
    let mut rest = bytes;
    while !rest.is_empty() {
        match std::str::from_utf8(rest) {
            Ok(valid) => {
                text.push_str(valid);
                break;
            }
            Err(error) => {
                let (valid, invalid) = rest
                    .split_at_checked(error.valid_up_to())
                    .unwrap_or((rest, &[]));
                text.push_str(std::str::from_utf8(valid).unwrap_or_default());
                text.extend(replacement);
                rest = invalid.get(invalid_sequence(invalid)..).unwrap_or_default();
            }
        }
    }
    text
}

/// The length of the invalid sequence at the start: the bytes that its first byte announces, up to one that does not
/// continue it. Trino lets a first byte announce up to six.
fn invalid_sequence(bytes: &[u8]) -> usize {
    let announced = match bytes.first() {
        Some(0xc0..=0xdf) => 2,
        Some(0xe0..=0xef) => 3,
        Some(0xf0..=0xf7) => 4,
        Some(0xf8..=0xfb) => 5,
        Some(0xfc..=0xfd) => 6,
        _ => 1,
    };
    let following = bytes.iter().skip(1).take(announced - 1);
    1 + following
        .take_while(|byte| (0x80..=0xbf).contains(*byte))
        .count()
}

/// The replacement of `from_utf8(x, replacement)`.
pub fn replacement(text: &str) -> Result<Option<char>, String> {
    let mut characters = text.chars();
    match (characters.next(), characters.next()) {
        (_, Some(_)) => {
            Err("Replacement character string must empty or a single character".to_owned())
        }
        (replacement, None) => Ok(replacement),
    }
}

/// The big-endian bytes that `from_big_endian_64` and its kin take.
pub fn big_endian<const BYTES: usize>(bytes: &[u8]) -> Result<[u8; BYTES], String> {
    bytes.try_into().map_err(|_| {
        format!(
            "expected {BYTES}-byte input, but got instead: {}",
            bytes.len()
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    // tests/trino compares these functions with Trino over more values.
    #[test]
    fn base64_is_javas() {
        let decoded = |text: &str| from_base64(text.as_bytes(), &BASE64);
        for text in ["YQ==", "YQ", "YR=="] {
            assert_eq!(decoded(text).as_deref(), Ok(&b"a"[..]), "{text}");
        }
        assert_eq!(decoded("").as_deref(), Ok(&b""[..]));
        for text in [
            "Y", "YQ=", "YQ===", "YWFh=", "=", "====", "Y Q=", "-_-_", "YQ==YQ==",
        ] {
            assert!(decoded(text).is_err(), "{text}");
        }
        assert_eq!(
            from_base64(b"-_-_", &BASE64URL).as_deref(),
            Ok(&[0xfb, 0xff, 0xbf][..])
        );
        assert_eq!(to_base64(&[0xfb, 0xff], &BASE64URL), "-_8=");
    }

    #[test]
    fn hexadecimal_digits_come_in_pairs() {
        assert_eq!(to_hex(&[0, 0xab]), "00AB");
        assert_eq!(from_hex(b"00aB").as_deref(), Ok(&[0, 0xab][..]));
        assert!(
            from_hex(b"0").is_err()
                && from_hex(b"0g").is_err()
                && from_hex("é".as_bytes()).is_err()
        );
    }

    #[test]
    fn invalid_sequences_are_replaced_once() {
        let fixed = |bytes: &[u8]| from_utf8(bytes, Some('?'));
        assert_eq!(fixed(b"a\xffb"), "a?b");
        assert_eq!(fixed(b"\xe6\x97"), "?");
        assert_eq!(fixed(b"\xed\xa0\x80"), "?");
        assert_eq!(fixed(b"\xf8\x88\x80\x80\x80x"), "?x");
        assert_eq!(fixed(b"\x80\x80"), "??");
        assert_eq!(from_utf8(b"\xc3(", None), "(");
        assert_eq!(replacement(""), Ok(None));
        assert!(replacement("ab").is_err());
    }
}
