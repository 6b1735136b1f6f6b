#![doc = include_str!("../README.md")]
#![warn(missing_docs, unreachable_pub)]

pub mod uri;
pub mod url;
pub mod civil;
pub mod iso8601;
pub mod calendar;
pub mod zone;
pub mod time_format;
mod joda;
mod time_parse;
pub mod timestamp;
mod double_text;
pub mod cast;
pub mod width_bucket;
pub mod json_path;
pub mod json;
pub mod ip;
pub mod text;
pub mod math;
pub mod bits;
pub mod binary;

/// The zeros of the decimal digits in Unicode's first plane, as Java 17 knows them. The other nine digits follow each
/// zero. Java's parsers look at UTF-16 units, so they don't recognize digits of the other planes.
const ZEROS: [u16; 37] = [
    0x30, 0x660, 0x6f0, 0x7c0, 0x966, 0x9e6, 0xa66, 0xae6, 0xb66, 0xbe6, 0xc66, 0xce6, 0xd66,
    0xde6, 0xe50, 0xed0, 0xf20, 0x1040, 0x1090, 0x17e0, 0x1810, 0x1946, 0x19d0, 0x1a80, 0x1a90,
    0x1b50, 0x1bb0, 0x1c40, 0x1c50, 0xa620, 0xa8d0, 0xa900, 0xa9d0, 0xa9f0, 0xaa50, 0xabf0, 0xff10,
];

/// `Character.digit(char, radix)`, which `Integer.parseInt` uses.
fn digit(character: char, radix: u32) -> Option<u32> {
    if let Some(value) = character.to_digit(radix) {
        return Some(value);
    }
    match character {
        'Ａ'..='Ｚ' => Some(character as u32 - 'Ａ' as u32 + 10).filter(|value| *value < radix),
        'ａ'..='ｚ' => Some(character as u32 - 'ａ' as u32 + 10).filter(|value| *value < radix),
        _ => {
            let unit = u16::try_from(u32::from(character)).ok()?;
            let below = ZEROS.partition_point(|zero| *zero <= unit);
            let value = u32::from(unit - ZEROS.get(below.checked_sub(1)?)?);
            (value < radix.min(10)).then_some(value)
        }
    }
}

/// Reads the files in `vectors/` and compares their answers with this crate's.
///
/// A line is tab-separated: a function, its arguments, the outcome (`ok`, `null` or `err`), and the answer or the
/// message. `\t`, `\n`, `\r`, `\\` and `\u{…}` are escapes, `\N` is Java's `null`, and a DOUBLE is its bits in
/// hexadecimal. A `#` starts a comment.
#[cfg(test)]
pub mod vectors {
    use std::borrow::Cow;
    use std::fmt::Display;

    use super::calendar::{self, Unit};
    use super::{cast, iso8601, uri::Uri, url};

    /// The answer, `None` for a NULL, or the message of the error.
    type Answer = Result<Option<String>, String>;

    /// Checks that all lines of `file` agree, and returns their number. Shows up to `shown` of the differences.
    pub fn check(file: &str, shown: usize) -> usize {
        let lines: Vec<_> = file
            .lines()
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
            .collect();
        let differences: Vec<_> = lines.iter().filter_map(|line| difference(line)).collect();
        let first = differences
            .iter()
            .take(shown)
            .map(String::as_str)
            .collect::<Vec<_>>()
            .join("\n");
        assert!(
            differences.is_empty(),
            "{} of {} lines differ:\n{first}",
            differences.len(),
            lines.len()
        );
        lines.len()
    }

    fn difference(line: &str) -> Option<String> {
        let (function, rest) = line.split_once('\t').expect(line);
        let (found, expected) = if function == "uri" {
            let (text, expected) = rest.split_once('\t').expect(line);
            (parts(&unescape(text)), expected.to_owned())
        } else {
            let fields: Vec<_> = rest.split('\t').map(unescape).collect();
            let [arguments @ .., outcome, expected] = fields.as_slice() else {
                panic!("not a vector: {line}");
            };
            let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
            let found = match answer(function, &arguments) {
                Ok(Some(answer)) => format!("ok\t{answer}"),
                Ok(None) => "null\t".to_owned(),
                Err(message) => format!("err\t{message}"),
            };
            (found, format!("{outcome}\t{expected}"))
        };
        (found != expected).then(|| format!("{line}\n    found {found:?}"))
    }

    /// The raw and the decoded parts, in the vectors' format. Java's NumberFormatException is a NULL here.
    fn parts(text: &str) -> String {
        let Some(uri) = Uri::parse(text) else {
            return "null".to_owned();
        };
        let port = uri.port.map(|port| port.to_string());
        let raw = [
            uri.scheme,
            uri.host,
            port.as_deref(),
            uri.raw_path,
            uri.raw_query,
            uri.raw_fragment,
        ];
        let decoded = [
            uri.raw_path.and_then(|_| url::extract_path(text)),
            uri.raw_query.and_then(|_| url::extract_query(text)),
            uri.raw_fragment.and_then(|_| url::extract_fragment(text)),
        ];
        let all = raw.into_iter().chain(decoded.iter().map(Option::as_deref));
        let all = all.map(|part| part.map_or("\\N".to_owned(), escape));
        format!("ok\t{}", all.collect::<Vec<_>>().join("\t"))
    }

    fn answer(function: &str, arguments: &[&str]) -> Answer {
        let first = arguments[0];
        let number = || arguments[arguments.len() - 1].parse::<i64>().unwrap();
        let double = || f64::from_bits(u64::from_str_radix(first, 16).unwrap());
        let owned = |answer: Option<Cow<'_, str>>| Ok(answer.map(Cow::into_owned));
        match function {
            "protocol" => owned(url::extract_protocol(first)),
            "host" => owned(url::extract_host(first)),
            "port" => Ok(url::extract_port(first).map(|port| port.to_string())),
            "path" => owned(url::extract_path(first)),
            "query" => owned(url::extract_query(first)),
            "fragment" => owned(url::extract_fragment(first)),
            "param" => owned(url::extract_parameter(first, arguments[1])),
            "decode" => shown(url::decode(first)),
            "encode" => Ok(Some(url::encode(first))),
            "iso" => shown(iso8601::from_iso8601_timestamp(first)),
            "date_trunc" => shown(calendar::date_trunc(first, number())),
            "date_trunc_date" => shown(Unit::of_date(first).map(|unit| unit.floor_days(number()))),
            "double" => shown(cast::varchar_to_double(first).map(|value| {
                let value = if value.is_nan() { f64::NAN } else { value };
                format!("{:x}", value.to_bits())
            })),
            "bigint" => shown(cast::varchar_to_bigint(first)),
            "integer" => shown(cast::varchar_to_integer(first)),
            "smallint" => shown(cast::varchar_to_smallint(first)),
            "tinyint" => shown(cast::varchar_to_tinyint(first)),
            "boolean" => shown(cast::varchar_to_boolean(first)),
            "date" => shown(cast::varchar_to_date(first)),
            "date_varchar" => Ok(Some(cast::date_to_varchar(number() as i32))),
            "dvarchar" => Ok(Some(cast::double_to_varchar(double()))),
            "djava" => Ok(Some(super::double_text::java_double(double()))),
            "dbigint" => shown(cast::double_to_bigint(double())),
            "dinteger" => shown(cast::double_to_integer(double())),
            "dsmallint" => shown(cast::double_to_smallint(double())),
            "dtinyint" => shown(cast::double_to_tinyint(double())),
            "binteger" => shown(cast::bigint_to_integer(number())),
            "bsmallint" => shown(cast::bigint_to_smallint(number())),
            "btinyint" => shown(cast::bigint_to_tinyint(number())),
            "bvarchar" => Ok(Some(cast::bigint_to_varchar(number()))),
            _ => panic!("no such function: {function}"),
        }
    }

    fn shown<T: Display, E: Display>(result: Result<T, E>) -> Answer {
        result
            .map(|answer| Some(answer.to_string()))
            .map_err(|error| error.to_string())
    }

    fn escape(text: &str) -> String {
        let mut escaped = String::new();
        for character in text.chars() {
            match character {
                '\\' => escaped.push_str("\\\\"),
                '\t' => escaped.push_str("\\t"),
                '\n' => escaped.push_str("\\n"),
                '\r' => escaped.push_str("\\r"),
                ' '..='~' | '\u{c0}'..='\u{24f}' => escaped.push(character),
                _ => escaped.extend(character.escape_unicode()),
            }
        }
        escaped
    }

    fn unescape(text: &str) -> String {
        let mut unescaped = String::new();
        let mut rest = text;
        while let Some((before, escape)) = rest.split_once('\\') {
            unescaped.push_str(before);
            let (character, after) = match escape.as_bytes()[0] {
                b't' => ('\t', &escape[1..]),
                b'n' => ('\n', &escape[1..]),
                b'r' => ('\r', &escape[1..]),
                b'u' => {
                    let (code, after) = escape[2..].split_once('}').expect(text);
                    (
                        u32::from_str_radix(code, 16)
                            .ok()
                            .and_then(char::from_u32)
                            .expect(text),
                        after,
                    )
                }
                other => (char::from(other), &escape[1..]),
            };
            unescaped.push(character);
            rest = after;
        }
        unescaped + rest
    }
}

#[cfg(test)]
mod tests {
    use super::calendar::Unit;
    use super::civil::{civil_from_days, days_from_civil, days_in_month};
    use super::iso8601::{Timestamps, from_iso8601_timestamp};
    use super::uri::{Queries, Uri};
    use super::url::Parameter;
    use super::{cast, url, vectors};

    const VECTORS: [&str; 4] = [
        include_str!("vectors/uri.tsv"),
        include_str!("vectors/url.tsv"),
        include_str!("vectors/iso8601.tsv"),
        include_str!("vectors/cast.tsv"),
    ];

    #[test]
    fn every_vector_has_trinos_answer() {
        for file in VECTORS {
            assert!(vectors::check(file, 10) > 100);
        }
    }

    #[test]
    fn one_walk_over_the_parameters_finds_what_each_lookup_finds() {
        let text = "https://e.com:443/p?x=1&x=2&&y&z=a+%C3%A9&=e";
        let query = Uri::parse(text).unwrap().raw_query.unwrap();
        let parameters: Vec<_> = url::parameters(query).collect();
        let pairs = parameters.iter().map(|each| (each.name, each.raw_value));
        let expected = [
            ("x", "1"),
            ("x", "2"),
            ("", ""),
            ("y", ""),
            ("z", "a+%C3%A9"),
            ("", "e"),
        ];
        assert!(pairs.eq(expected));
        for name in ["x", "", "y", "z", "absent"] {
            let first = parameters.iter().find(|parameter| parameter.name == name);
            let value = first.map(url::Parameter::value);
            assert_eq!(url::extract_parameter(text, name), value, "{name}");
        }
    }

    #[test]
    fn nothing_is_copied_that_needs_no_decoding() {
        use std::borrow::Cow::Borrowed;
        assert!(matches!(
            url::extract_path("http://h/caf\u{e9}"),
            Some(Borrowed("/caf\u{e9}"))
        ));
        assert!(matches!(
            url::extract_parameter("http://h/?x=1", "x"),
            Some(Borrowed("1"))
        ));
    }

    /// In Java, `new URI` throws a `NumberFormatException`, which fails the query in Trino.
    #[test]
    fn an_oversized_number_in_an_ipv6_literal_is_a_null() {
        assert_eq!(Uri::parse("http://[::99999999999.0.0.1]/"), None);
    }

    #[test]
    fn dates_and_days_are_inverse() {
        for days in (-1_000_000..1_000_000)
            .step_by(7)
            .chain([i64::from(i32::MIN), i64::from(i32::MAX)])
        {
            let (year, month, day) = civil_from_days(days);
            assert!((1..=12).contains(&month) && (1..=days_in_month(year, month)).contains(&day));
            assert_eq!(days_from_civil(year, month, day), days);
        }
    }

    /// The fast path gives the same result as the grammar, which an offset of zero selects.
    #[test]
    fn the_usual_timestamp_is_read_as_the_grammar_reads_it() {
        let mut random = Random(3);
        for _ in 0..20_000 {
            let [year, month, day] = [2100, 14, 33].map(|bound| random.below(bound));
            let [hour, minute, second] = [25, 61, 61].map(|bound| random.below(bound));
            let fraction = ["", ".5", ".123456", ".999999999", ".1234567890"][random.below(5)];
            let text = format!(
                "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{fraction}"
            );
            let usual = from_iso8601_timestamp(&format!("{text}Z")).ok();
            assert_eq!(
                usual,
                from_iso8601_timestamp(&format!("{text}+00:00")).ok(),
                "{text}"
            );
        }
    }

    /// A truncated instant is not later than the instant, and truncating it again changes nothing, even at the limits of
    /// `i64`.
    #[test]
    fn truncation_goes_down_and_stays() {
        let units = [
            "millisecond",
            "second",
            "minute",
            "hour",
            "day",
            "week",
            "month",
            "quarter",
            "year",
        ];
        let mut random = Random(5);
        for _ in 0..5_000 {
            let wide = random.next() as i64;
            let shift = random.below(64);
            for millis in [wide >> shift, i64::MIN, i64::MAX] {
                for unit in units.map(|unit| Unit::of_timestamp(unit).unwrap()) {
                    let start = unit.floor_millis(millis);
                    assert!(
                        start <= millis && unit.floor_millis(start) == start || start == i64::MIN
                    );
                }
            }
        }
    }

    /// A linear congruential generator with the constants of Knuth's MMIX. `below` uses the upper bits.
    struct Random(u64);

    impl Random {
        fn next(&mut self) -> u64 {
            self.0 = self
                .0
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            self.0
        }

        fn below(&mut self, bound: usize) -> usize {
            (self.next() >> 33) as usize % bound
        }
    }

    /// The vectors' arguments with characters inserted, removed and replaced. For any input, the answer is a value, a
    /// NULL or an error.
    #[test]
    fn no_text_makes_it_panic() {
        let texts: Vec<_> = VECTORS
            .iter()
            .flat_map(|file| file.lines())
            .filter_map(|line| line.split('\t').nth(1))
            .collect();
        let odd: Vec<_> = "%+-:/?#[]@.0123456789eExXpPTZW&=;\\ \0\u{7f}é\u{a0}\u{2028}\u{fffd}１😀"
            .chars()
            .collect();
        let mut random = Random(11);
        for _ in 0..60_000 {
            let mut text: Vec<_> = texts[random.below(texts.len())].chars().collect();
            for _ in 0..=random.below(4) {
                let at = random.below(text.len() + 1);
                match random.below(3) {
                    0 => text.insert(at, odd[random.below(odd.len())]),
                    1 => text.truncate(at),
                    _ if at < text.len() => text[at] = odd[random.below(odd.len())],
                    _ => {}
                }
            }
            let text: String = text.into_iter().collect();
            try_everything(&text);
        }
    }

    fn try_everything(text: &str) {
        let extracted = [
            url::extract_protocol,
            url::extract_host,
            url::extract_path,
            url::extract_query,
            url::extract_fragment,
        ]
        .map(|extract| extract(text).is_some());
        assert_eq!(extracted, [Uri::parse(text).is_some(); 5], "{text:?}");
        url::extract_port(text);
        let raw_query = |url: &str| Uri::parse(url)?.raw_query.map(str::to_owned);
        for parameter in raw_query(text)
            .iter()
            .flat_map(|query| url::parameters(query))
        {
            let Parameter {
                name, raw_value, ..
            } = parameter;
            // A parameter of a URL's query can always be decoded.
            assert!(url::decode(name).is_ok(), "{text:?}");
            assert_eq!(url::decode(raw_value), Ok(parameter.value()), "{text:?}");
            assert!(url::extract_parameter(text, name).is_some(), "{text:?}");
        }
        // What was read before must not affect the result.
        let mut queries = Queries::default();
        for url in [
            "https://e.com:443/?",
            text,
            &format!("https://e.com:443{text}"),
            text,
        ] {
            assert_eq!(queries.raw_query(url), raw_query(url).as_deref(), "{url:?}");
        }
        let mut times = Timestamps::default();
        for time in [
            "2026-11-20T10:02:03.000001Z",
            text,
            &format!("2026-11-20T10:02:{text}"),
            text,
        ] {
            assert_eq!(
                times.read(time),
                Timestamps::default().read(time),
                "{time:?}"
            );
        }
        assert_eq!(url::decode(&url::encode(text)).as_deref(), Ok(text));
        let messages = [
            url::decode(text).err().map(|error| error.to_string()),
            from_iso8601_timestamp(text)
                .err()
                .map(|error| error.to_string()),
            cast::varchar_to_double(text)
                .err()
                .map(|error| error.to_string()),
            cast::varchar_to_bigint(text)
                .err()
                .map(|error| error.to_string()),
            cast::varchar_to_integer(text)
                .err()
                .map(|error| error.to_string()),
            cast::varchar_to_boolean(text)
                .err()
                .map(|error| error.to_string()),
            cast::varchar_to_date(text)
                .err()
                .map(|error| error.to_string()),
            Unit::of_timestamp(text)
                .err()
                .map(|error| error.to_string()),
        ];
        assert!(messages.iter().flatten().all(|message| !message.is_empty()));
        if let Ok(value) = cast::varchar_to_double(text) {
            let printed = cast::double_to_varchar(value);
            let read = cast::varchar_to_double(&printed).unwrap();
            assert!(
                read == value || read.is_nan() && value.is_nan(),
                "{printed}"
            );
        }
    }
}
