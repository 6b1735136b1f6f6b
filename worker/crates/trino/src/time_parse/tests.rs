use super::super::iso8601::from_iso8601_timestamp;
use super::*;

// tests/trino compares more patterns and texts with Trino.
#[test]
fn texts_are_read_by_patterns() {
    for (pattern, text, expected) in [
        (
            "%Y-%m-%dT%H:%i:%s.%fZ",
            "2026-11-20T10:05:09.123456Z",
            "2026-11-20T10:05:09.123Z",
        ),
        ("%Y-%m-%d", "2026-1-2", "2026-01-02T00:00Z"),
        (
            "%d.%m.%y %r",
            "20.11.69 12:05:09 am",
            "2069-11-20T00:05:09Z",
        ),
        ("%H:%i", "10:05", "1970-01-01T10:05Z"),
        ("%M %e", "february 29", "2000-02-29T00:00Z"),
        ("%x-W%v %a", "2026-w53 Sun", "2027-01-03T00:00Z"),
        ("%j %Y", "366 2024", "2024-12-31T00:00Z"),
    ] {
        let format = TimeFormat::of_mysql(pattern).unwrap();
        let expected = from_iso8601_timestamp(expected);
        assert_eq!(format.read_local(text), expected, "{pattern} {text}");
    }
    for (pattern, text, expected) in [
        (
            "yyyy-MM-dd'T'HH:mm:ss.SSSSSS'Z",
            "2026-11-20T10:05:09.123456Z",
            "2026-11-20T10:05:09.123Z",
        ),
        (
            "dd/MMM/yyyy:HH:mm:ss Z",
            "20/Nov/2026:10:05:09 +0230",
            "2026-11-20T07:35:09Z",
        ),
        ("yyyyMMddHH ZZ", "2026112010 z", "2026-11-20T10:00Z"),
        (
            "EEEE, d MMMM yyyy h a",
            "Friday, 20 NOVEMBER 2026 12 PM",
            "2026-11-20T12:00Z",
        ),
        ("yyyy k", "-1 24", "-0001-01-01T00:00Z"),
    ] {
        let format = TimeFormat::of_joda(pattern).unwrap();
        let expected = from_iso8601_timestamp(expected);
        assert_eq!(format.read_instant(text), expected, "{pattern} {text}");
    }
}

#[test]
fn other_texts_are_errors() {
    for (pattern, text, message) in [
        (
            "%Y-%m-%d",
            "2026-02-30",
            "Cannot parse \"2026-02-30\": Value 30 for dayOfMonth must be in the range [1,28]",
        ),
        (
            "%Y-%m-%d",
            "2026-02-3x",
            "Invalid format: \"2026-02-3x\" is malformed at \"x\"",
        ),
        (
            "%Y-%m-%d",
            "2026-02",
            "Invalid format: \"2026-02\" is too short",
        ),
        (
            "%H",
            "24",
            "Cannot parse \"24\": Value 24 for hourOfDay must be in the range [0,23]",
        ),
        ("%y", "7", "Invalid format: \"7\""),
        ("%Y", "é", "Invalid format: \"é\""),
    ] {
        let format = TimeFormat::of_mysql(pattern).unwrap();
        let error = format.read_local(text).unwrap_err().to_string();
        assert_eq!(error, message, "{pattern} {text}");
    }
    let format = TimeFormat::of_joda("yyyy Z").unwrap();
    for text in ["2026 +15:00", "999999999 +00:00", "2026 +02:00:01"] {
        assert!(format.read_instant(text).is_err(), "{text}");
    }
}

#[test]
fn no_text_makes_it_panic() {
    let formats = [
        "%Y%m%d%H%i%s%f%p%a%M%j%x%v%y",
        "%x %v %j %e",
        "%Y-%c-%e %l %p",
    ];
    let texts = [
        "20261120100509123456AMFriNov3002026WW53",
        "é",
        "",
        "-",
        "+",
        "-9999 53 366 31",
        "2026-13-32 13 PM",
        "９９",
        "-1-2-3 4 pm",
        "999999999999999999999",
    ];
    for format in formats {
        let format = TimeFormat::of_mysql(format).unwrap();
        for text in texts {
            let _ = format.read_local(text);
        }
    }
    for format in [
        "x w e",
        "yyyyyyyyyyyyyyyyyyyy D",
        "Y ZZ",
        "yyyy SSSSSSSSS a",
    ] {
        let format = TimeFormat::of_joda(format).unwrap();
        for text in texts {
            let _ = format.read_instant(text);
        }
        for text in [
            "999999999 53 7",
            "-999999999 1 1",
            "292278994 366",
            "-292275055 1",
            "1 +23:59:59.999",
        ] {
            let _ = format.read_instant(text);
        }
    }
}
