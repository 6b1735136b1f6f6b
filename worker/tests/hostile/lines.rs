//! Log files in which ordinary lines stand among those of attackers and fuzzers.

use super::support::Random;

/// What an ordinary line has, by its number.
type Ordinary = fn(u64) -> String;

/// Parameters of the URL.
pub const PARAMETERS: &[(&str, Ordinary)] = &[
    ("n", |number| (1 + number % 20).to_string()),
    ("x", |number| (1 + number % 9).to_string()),
    ("i", |_| "1".to_owned()),
    ("l", |number| (5 + number % 7).to_string()),
    ("b", |_| "true".to_owned()),
    ("q", |number| format!("word/{}", number % 50)),
    ("p", |_| "ab".to_owned()),
    ("r", |_| "([a-z]+)".to_owned()),
    ("t", |_| "2026-11-20T10:00:00Z".to_owned()),
    ("w", |_| "2026-11-20T10:00:00Z".to_owned()),
    ("d", |_| "2026-11-20".to_owned()),
    ("u", |_| "1795168800".to_owned()),
    ("unit", |_| "hour".to_owned()),
    ("uid", |number| format!("u{}", number % 100)),
    ("big", |_| "1".to_owned()),
];

/// What only ordinary lines have.
pub const ORDINARY: &str = "ordinary/1.0";

/// The lines whose sums of `big` and `received_bytes` a bigint can't hold.
pub const OVERFLOWING: &str = "overflowing/1.0";

/// The edges of every type, and what some parser takes for a number.
#[rustfmt::skip]
const NUMBERS: &[&str] = &[
    "0", "-0", "-1", "127", "128", "-128", "-129", "255", "256", "32767", "32768", "-32768", "-32769", "65535", "65536",
    "2147483647", "2147483648", "-2147483648", "-2147483649", "4294967295", "4294967296", "9007199254740993",
    "9223372036854775806", "9223372036854775807", "9223372036854775808", "-9223372036854775807", "-9223372036854775808",
    "-9223372036854775809", "18446744073709551615", "1e308", "1e309", "-1e309", "1.7976931348623157e308", "4.9e-324",
    "2.4e-324", "-4.9e-324", "2.2250738585072011e-308", "1e999999999999", "1e-999999999999", "-0.0", "0.5", "-0.5",
    "1.5", "2.5", "NaN", "-NaN", "nan", "Infinity", "-Infinity", "+Infinity", "inf", "0x10", "0x1p-1074", "0x1p3",
    "0x1p99999999999999999999", "1_000", "1,000", " 5", "5 ", "+5", "--5", "+-5", "５", "٣", "𝟗", "৩", "², ", "½", "1d",
    "1f", "1e", "e1", ".", "-", "+", "", " ", ".5", "5.", "007", "0000000000000000000000000000000000000000000000007",
    "1\u{0}", "\u{feff}1", "1\u{200b}", "−1", "true", "null", "NULL",
    "9999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999",
];

#[rustfmt::skip]
const TIMES: &[&str] = &[
    "-9999-01-01T00:00:00Z", "-0001-12-31T23:59:59.999Z", "0000-01-01T00:00:00Z", "0000-12-31T23:59:59Z",
    "0001-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59.999Z", "9999-12-31T23:59:59-14:00",
    "10000-01-01T00:00:00Z", "+10000-01-01T00:00:00Z", "275760-09-13T00:00:00Z", "294247-01-10T04:00:54.775Z",
    "+294247-01-10T04:00:54.776Z", "292278994-08-17T07:12:55.807Z", "292278995-01-01T00:00:00Z",
    "-292275055-05-16T16:47:04.192Z", "5881580-07-11T00:00:00Z", "73326-09-11T20:14:45.247Z",
    "73326-09-11T20:14:45.248Z", "-69387-04-22T03:45:14.752Z", "999999999-12-31T23:59:59Z",
    "-999999999-01-01T00:00:00Z", "1969-12-31T23:59:59.999Z", "1970-01-01T00:00:00Z", "1677-09-21T00:12:43Z",
    "2262-04-11T23:47:17Z", "2026-02-29T00:00:00Z", "2024-02-29T12:00:00Z", "2026-11-20T24:00:00Z",
    "2026-11-20T23:59:60Z", "2026-11-20T10:00:00+18:00", "2026-11-20T10:00:00-23:59", "2026-11-20T10:00:00+00:00:01",
    "2026-11-20T10:00:00+99:99", "2026-W53-7", "2026-W54", "9999-W53-7", "2026-366", "0-1-1", "T25:00", "T10:30",
    "2026", "-2026", "2026-11-20 10:00:00", "2026-11-20T10:00:00.1234567890Z", "", "２０２６-11-20", "2026-11-20T10:00:00Ｚ",
    "2026-11-20T10", "2026-11-20T10,5Z", "now", "infinity", "-infinity", "epoch", "1795168800", "1582-10-10T00:00:00Z",
    "2038-01-19T03:14:08Z",
];

#[rustfmt::skip]
const DATES: &[&str] = &[
    "-9999-01-01", "-0001-06-15", "0000-01-01", "0000-12-31", "0001-01-01", "9999-12-31", "10000-01-01", "+10000-01-01",
    "275760-09-13", "294247-01-10", "262142-12-31", "262143-01-01", "-262144-01-01", "5881580-07-10", "5881580-07-11",
    "5881580-07-12", "-5877641-06-23", "-5877641-06-22", "999999999-12-31", "-999999999-01-01", "2026-02-29",
    "2026-02-30", "2024-02-29", "2026-13-01", "2026-00-00", "2026-1-2", "2026-11-20T10:00:00Z", " 2026-11-20 ",
    "2026/11/20", "20261120", "26-11-20", "２０２６-11-20", "", "today", "2026-11-20\u{0}", "1582-10-10", "1969-12-31",
    "1970-01-01", "2038-01-19",
];

#[rustfmt::skip]
const UNIX_TIMES: &[&str] = &[
    "0", "-0.0", "-1", "0.0005", "-62135596800", "-62135596801", "-62167219200", "253402300799", "253402300799.9995",
    "253402300800", "8640000000000", "8640000000001", "2251799813685.247", "2251799813685.248", "-2251799813685.248",
    "-2251799813685.249", "9223372036854775", "9223372036854775807", "-9223372036854775808", "1e308", "-1e308", "1e309",
    "NaN", "Infinity", "-Infinity", "4.9e-324", "1e18", "x", "", "2147483647", "2147483648", "-2208988800",
];

#[rustfmt::skip]
const INDEXES: &[&str] = &[
    "0", "-1", "1", "2", "3", "1000000", "-9223372036854775808", "9223372036854775807", "2147483648", "-2147483649",
    "400", "-400", "-18", "-19", "-20", "x", "", "1.5",
];

#[rustfmt::skip]
const LENGTHS: &[&str] = &[
    "0", "-1", "1", "8192", "8193", "1000000", "1048577", "2147483647", "9223372036854775807", "-9223372036854775808",
    "x", "",
];

#[rustfmt::skip]
const BOOLEANS: &[&str] = &[
    "false", "TRUE", "t", "1", "0", "yes", "", "null", "ｔrue", "tru\u{0}e",
];

#[rustfmt::skip]
const UNITS: &[&str] = &[
    "day", "HOUR", "month", "fortnight", "", "week", "year\u{0}", "millisecond", "nanosecond", "century",
];

#[rustfmt::skip]
const REGEXES: &[&str] = &[
    "(a+)+$", "((a*)*)*b", "(x{1000}){1000}", "(((((a{9}){9}){9}){9}){9}){9}", "(?=a)", "(a)\\1", "[", "(", "*",
    "a{99999999}", "\\p{L}+", "(?i)WORD", "(?P<n>w)(?P<n>o)", "\\", "[[:alpha:]]+", "[[:alpha", "", "^$", ".*.*.*.*.*x",
    "\u{0}", "[^\u{0}-\u{10ffff}]", "(?x) w o r d", "\\Q", "$1", "(?-u)\\xff",
];

const PARTS: &[&str] = &[
    "", "$1", "$9", "${x}", "\\", "\\1", "$", "/", "%", "_", "q", "a\u{301}", "\u{0}", "0", "12",
];

/// What attackers, fuzzers and odd programs write.
#[rustfmt::skip]
const TEXTS: &[&str] = &[
    "' OR 1=1 --", "1; DROP TABLE events", "<script>alert(1)</script>", "${jndi:ldap://x/a}", "{{7*7}}",
    "../../../../etc/passwd", "..%2f..%2f", "%00", "\u{0}", "\u{1b}]0;owned\u{7}", "\u{9b}2J", "a\u{8}b",
    "=HYPERLINK(\"http://x\")", "+1", "-1", "@SUM(A1)", "\t=1", "\u{202e}gnp.exe", "\u{2066}a\u{2069}", "\u{feff}word",
    "a\u{200b}b", "word ", " word", "WORD", "Word", "wo\u{0301}rd", "w\u{f3}rd", "ｗｏｒｄ", "ß", "ẞ", "İ", "ı", "ŉ", "ﬁ",
    "ΌΔΟΣ", "Z\u{351}\u{352}\u{353}\u{354}", "👩\u{200d}👩\u{200d}👧", "𝔘𝔫𝔦", "\u{fffd}", "\u{ffff}", "\u{10ffff}", "",
    " ", "  ", "null", "NULL", "undefined", "{\"a\":{\"b\":[1,2", "[]", "\"", "\"\"", "\\", "\\\\", "\\x22", "\\\"",
    "a\rb", "a\nb", "a\tb", "%", "%%", "%zz", "%C3", "%c3%28", "%C0%AF", "%E0%80%AF", "%ED%A0%80", "%F4%90%80%80",
    "%f8%88%80%80%80", "%u0041", "%E2%80%AE", "http://[::1", "http://a b/", "//", "?a=1", "http://x:99999/?a=%zz",
    "https://h/?a=b#c", "javascript:alert(1)", "a=b&c=d",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!", "$0", "$1", "2026-11-20", "1e5",
];

/// Whole URLs, as they stand in the log.
#[rustfmt::skip]
const URLS: &[&str] = &[
    "-", "*", "/", "", "http://", "https://shop.example:443", "https://shop.example:443?", "https://shop.example:443/?",
    "https://shop.example:443/?&&&==&=", "https://shop.example:443/e?%6e=1&n", "https://shop.example:443/e?n=1&n=2&n=x",
    "https://shop.example:443/e?n", "https://shop.example:443/e?N=1", "https://shop.example:443/%",
    "https://shop.example:443/%zz?n=1", "https://shop.example:443/%C0%AE%C0%AE/",
    "https://shop.example:443/a b c?n=1 2", "https://shop.example:443/\u{1b}[2J",
    "https://shop.example:443/\\x00?n=\\x22", "https://shop.example:99999/?n=1", "https://shop.example:-1/?n=1",
    "https://[::1]:443/?n=1", "https://[::1/?n=1", "https://user:pass@h:443/?n=1", "https://h%00:443/?n=1",
    "https://\u{202e}moc/?n=1", "gopher://h/?n=1", "http://shop.example:80-", "https://shop.example:443/#?n=1",
    "https://shop.example:443/;n=1?n=1;x=2", "ＨＴＴＰ://shop.example/?n=1",
];

#[rustfmt::skip]
const VERBS: &[&str] = &[
    "GET", "POST", "-", "", "get", "PROPFIND", "G\\x22ET", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    "\u{16}\u{3}\u{1}", "SSH-2.0",
];

/// Values of fields that are numbers, and are read as such.
#[rustfmt::skip]
const FIELD_NUMBERS: &[&str] = &[
    "-", "-1", "0", "9223372036854775807", "-9223372036854775808", "9223372036854775808", "2147483647", "2147483648",
    "1e308", "1e309", "NaN", "inf", "4.9e-324", "-0.0", "0x1", "", "12abc",
];

/// Times that the balancer itself may be made to write, by a clock that is wrong.
#[rustfmt::skip]
const OWN_TIMES: &[&str] = &[
    "0000-01-01T00:00:00.000000Z", "0001-01-01T00:00:00.000000Z", "9999-12-31T23:59:59.999999Z",
    "9999-12-31T23:59:59.999999-14:00", "1969-12-31T23:59:59.999999Z",
];

/// Lines that are no log lines.
#[rustfmt::skip]
const REJECTED: &[&str] = &[
    "", " ", "-", "\u{0}", "<html>", "https 2026-11-20T10:00:00Z", "\"", "\u{1b}[2J",
];

/// One log file's text, and what is known of it.
#[derive(Debug, Default)]
pub struct HostileLog {
    pub text: Vec<u8>,
    /// The lines, as they are read: what is not UTF-8 becomes U+FFFD.
    pub lines: Vec<String>,
    pub ordinary: u64,
    pub rejected: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Balancer {
    Application,
    Classic,
}

impl Balancer {
    pub fn name(self, file: u64) -> String {
        let balancer = match self {
            Self::Application => "app.shop.50dc6c495c0c9188",
            Self::Classic => "shop",
        };
        format!(
            "123456789012_elasticloadbalancing_us-east-2_{balancer}_20261120T1005Z_10.0.0.{file}_r{file}.log"
        )
    }
}

fn pick<'a>(random: &mut Random, from: &[&'a str]) -> &'a str {
    from[random.below(from.len() as u64) as usize]
}

/// What a visitor may write for a parameter.
fn hostile_value(random: &mut Random, parameter: &str) -> String {
    let own = match parameter {
        "n" | "x" => NUMBERS,
        "i" => INDEXES,
        "l" => LENGTHS,
        "b" => BOOLEANS,
        "t" => TIMES,
        "d" => DATES,
        "u" => UNIX_TIMES,
        "unit" => UNITS,
        "r" => REGEXES,
        "p" => PARTS,
        "w" => {
            let (day, hour) = (1 + random.below(28), random.below(24));
            return format!("2025-{:02}-{day:02}T{hour:02}:00:00Z", 1 + random.below(12));
        }
        "uid" => return format!("{:x}", random.next()),
        _ => TEXTS,
    };
    match random.below(30) {
        // Times and numbers that are right have to stay few: of one of each there are as many as in the lists.
        0 => pick(random, TEXTS).to_owned(),
        1 if !matches!(parameter, "l" | "r") => match random.below(8) {
            0 => "a".repeat(8192),
            1 => "%25".repeat(2700),
            2 => "9".repeat(8000),
            3 => "é".repeat(2000),
            _ => format!("{}{}", pick(random, TEXTS), pick(random, TEXTS)),
        },
        _ => pick(random, own).to_owned(),
    }
}

/// As a browser would send it, or as a program that takes no trouble: raw, with what AWS escapes escaped.
fn in_url(random: &mut Random, value: &str) -> Vec<u8> {
    let raw = |value: &str| {
        value
            .replace('&', "%26")
            .replace('+', "%2B")
            .replace('#', "%23")
    };
    match random.below(8) {
        0 => as_aws_writes(&raw(value)),
        // Not UTF-8 any more, or not yet.
        1 if !value.is_ascii() => value
            .chars()
            .map(|c| c as u32 as u8)
            .filter(|b| !b" \"\n&\r".contains(b))
            .collect(),
        _ => encoded(value),
    }
}

fn encoded(value: &str) -> Vec<u8> {
    let mut text = String::new();
    for byte in value.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' => {
                text.push(char::from(byte))
            }
            // What is meant as a broken escape stays one.
            b'%' if value.len() < 60 => text.push('%'),
            _ => text += &format!("%{byte:02X}"),
        }
    }
    text.into_bytes()
}

/// AWS escapes double quotes, backslashes and what would end the line.
fn as_aws_writes(text: &str) -> Vec<u8> {
    text.replace('\\', "\\\\")
        .replace('"', "\\x22")
        .replace('\n', "\\x0a")
        .replace(' ', "%20")
        .into_bytes()
}

fn quoted(text: &str) -> Vec<u8> {
    let text = text
        .replace('\\', "\\\\")
        .replace('"', "\\x22")
        .replace('\n', "\\x0a");
    format!("\"{text}\"").into_bytes()
}

/// A line as its fields.
struct Line {
    fields: Vec<Vec<u8>>,
    agent: usize,
    request: usize,
    numbers: &'static [usize],
    time: usize,
}

impl Line {
    fn new(balancer: Balancer, number: u64, url: &[u8], verb: &str, agent: &str) -> Self {
        let second = number % 60;
        let minute = number / 60 % 5;
        let time = format!(
            "2026-11-20T10:0{minute}:{second:02}.{:06}Z",
            number % 1_000_000
        );
        let request = [b"\"", verb.as_bytes(), b" ", url, b" HTTP/1.1\""].concat();
        let fields = match balancer {
            Balancer::Application => format!(
                "https {time} app/shop/50dc6c495c0c9188 192.0.2.{}:2817 10.0.0.1:80 0.001 0.020 0.000 200 200 34 366 REQUEST AGENT \
                 ECDHE TLSv1.3 arn:aws:elasticloadbalancing:us-east-2:1:targetgroup/web/73e2 \"Root=1-5833\" \"shop.example\" \"-\" 0 \
                 {time} \"forward\" \"-\" \"-\" \"10.0.0.1:80\" \"200\" \"-\" \"-\" TID_dc57",
                number % 250
            ),
            Balancer::Classic => format!(
                "{time} shop 192.0.2.{}:2817 10.0.0.1:80 0.001 0.020 0.000 200 200 34 366 REQUEST AGENT ECDHE TLSv1.3",
                number % 250
            ),
        };
        let mut fields: Vec<Vec<u8>> = fields
            .split(' ')
            .map(|field| field.as_bytes().to_vec())
            .collect();
        let place = |fields: &[Vec<u8>], name: &str| {
            fields
                .iter()
                .position(|field| field == name.as_bytes())
                .unwrap()
        };
        let (request_at, agent_at) = (place(&fields, "REQUEST"), place(&fields, "AGENT"));
        fields[request_at] = request;
        fields[agent_at] = quoted(agent);
        Self {
            fields,
            agent: agent_at,
            request: request_at,
            numbers: match balancer {
                Balancer::Application => &[5, 6, 7, 8, 9, 10, 11, 20],
                Balancer::Classic => &[4, 5, 6, 7, 8, 9, 10],
            },
            time: match balancer {
                Balancer::Application => 1,
                Balancer::Classic => 0,
            },
        }
    }

    fn text(&self) -> Vec<u8> {
        self.fields.join(&b' ')
    }
}

fn url_of(parameters: &[(String, Vec<u8>)]) -> Vec<u8> {
    let query: Vec<Vec<u8>> = parameters
        .iter()
        .map(|(name, value)| [name.as_bytes(), b"=", value].concat())
        .collect();
    [
        b"https://shop.example:443/e?".as_slice(),
        &query.join(&b'&'),
    ]
    .concat()
}

fn ordinary_parameters(number: u64) -> Vec<(String, Vec<u8>)> {
    let each = PARAMETERS.iter();
    each.map(|(name, value)| ((*name).to_owned(), encoded(&value(number))))
        .collect()
}

fn ordinary_line(balancer: Balancer, number: u64) -> Vec<u8> {
    let url = url_of(&ordinary_parameters(number));
    Line::new(balancer, number, &url, "GET", ORDINARY).text()
}

fn overflowing_line(balancer: Balancer, number: u64) -> Vec<u8> {
    let mut parameters = ordinary_parameters(number);
    let big = parameters.iter_mut().find(|(name, _)| name == "big");
    big.unwrap().1 = i64::MAX.to_string().into_bytes();
    let mut line = Line::new(balancer, number, &url_of(&parameters), "GET", OVERFLOWING);
    let received = line.numbers[line.numbers.len()
        - if balancer == Balancer::Application {
            3
        } else {
            2
        }];
    line.fields[received] = i64::MAX.to_string().into_bytes();
    line.text()
}

/// A log line of which a visitor, or a balancer that is out of order, has made something odd.
fn hostile_line(random: &mut Random, balancer: Balancer, number: u64) -> Vec<u8> {
    let mut parameters = ordinary_parameters(number);
    // One odd value shows what it does; several meet in one line now and then.
    for _ in 0..=random.below(3) {
        let at = random.below(parameters.len() as u64) as usize;
        let name = parameters[at].0.clone();
        let value = hostile_value(random, &name);
        match random.below(12) {
            0 => {
                parameters.remove(at);
            }
            1 => parameters.insert(at, (name, in_url(random, &value))),
            _ => parameters[at].1 = in_url(random, &value),
        }
    }
    // More hours than a log file may touch.
    if random.below(4) > 0
        && let Some((name, value)) = parameters.iter_mut().find(|(name, _)| name == "w")
    {
        *value = encoded(&hostile_value(random, name));
    }
    let mut url = url_of(&parameters);
    let mut verb = "GET";
    let mut agent = "hostile/1.0".to_owned();
    match random.below(12) {
        0 => url = pick(random, URLS).as_bytes().to_vec(),
        1 => verb = pick(random, VERBS),
        2 => agent = pick(random, TEXTS).to_owned(),
        // Nearly the same as a key that is there.
        3 => {
            agent = pick(
                random,
                &[
                    "Ordinary/1.0",
                    "ordinary/1.0 ",
                    " ordinary/1.0",
                    "ordinary/1.0\u{200b}",
                    "ordinary/1.\u{ff10}",
                ],
            )
            .to_owned()
        }
        4 => agent = "x".repeat(8192),
        _ => {}
    }
    let mut line = Line::new(balancer, number, &url, verb, &agent);
    match random.below(10) {
        0 => {
            let at = line.numbers[random.below(line.numbers.len() as u64) as usize];
            line.fields[at] = pick(random, FIELD_NUMBERS).as_bytes().to_vec();
        }
        1 => line.fields[line.time] = pick(random, OWN_TIMES).as_bytes().to_vec(),
        // A field that anybody may write, as its own and at the end.
        2 => {
            let at =
                line.agent + 1 + random.below((line.fields.len() - line.agent - 1) as u64) as usize;
            line.fields[at] = quoted(pick(random, TEXTS));
        }
        3 => line.fields.push(quoted(pick(random, TEXTS))),
        4 => line
            .fields
            .truncate(line.request + random.below(3) as usize),
        5 => line.fields[line.request] = quoted(pick(random, TEXTS)),
        _ => {}
    }
    line.text()
}

impl HostileLog {
    /// A log file of so many lines, of which a few are rejected, and many are hostile.
    pub fn new(random: &mut Random, balancer: Balancer, lines: u64) -> Self {
        let mut log = Self::default();
        for number in 0..lines {
            let line = match random.below(40) {
                0 => {
                    log.rejected += 1;
                    pick(random, REJECTED).as_bytes().to_vec()
                }
                1 => overflowing_line(balancer, number),
                2..25 => {
                    log.ordinary += 1;
                    ordinary_line(balancer, number)
                }
                _ => hostile_line(random, balancer, number),
            };
            // Athena and logmill end a line with this byte alone.
            let line: Vec<u8> = line.into_iter().filter(|byte| *byte != b'\n').collect();
            log.lines.push(String::from_utf8_lossy(&line).into_owned());
            log.text.extend(&line);
            log.text.push(b'\n');
        }
        log
    }
}

/// The odd values of parameters.
const LISTS: &[(&str, &[&str])] = &[
    ("n", NUMBERS),
    ("x", NUMBERS),
    ("i", INDEXES),
    ("l", LENGTHS),
    ("b", BOOLEANS),
    ("q", TEXTS),
    ("p", PARTS),
    ("r", REGEXES),
    ("t", TIMES),
    ("d", DATES),
    ("u", UNIX_TIMES),
    ("unit", UNITS),
];

/// Numbers that may do something together that they don't do alone.
#[rustfmt::skip]
const EDGES: &[&str] = &[
    "-9223372036854775808", "9223372036854775807", "-2147483648", "32767", "-128", "-1", "0", "-0.0", "4.9e-324", "1e308",
    "Infinity", "NaN", "x",
];

/// Parameters of which each of these values is tried with each of the other's.
const PAIRS: &[(&str, &[&str], &str, &[&str])] = &[
    ("n", EDGES, "x", EDGES),
    ("n", EDGES, "i", INDEXES),
    ("q", TEXTS, "i", INDEXES),
    ("q", TEXTS, "p", PARTS),
    ("l", LENGTHS, "p", PARTS),
    ("d", DATES, "i", INDEXES),
    ("t", TIMES, "unit", UNITS),
];

/// Lines with one odd value, or a pair, of the parameters that are used, each with what it is and whether it is a pair.
pub fn each_alone(balancer: Balancer, uses: impl Fn(&str) -> bool) -> Vec<(String, Vec<u8>, bool)> {
    let mut lines = Vec::new();
    let line = |odd: &[(&str, &str)]| {
        let mut parameters = ordinary_parameters(1);
        for (name, value) in odd {
            let parameter = parameters.iter_mut().find(|(other, _)| other == name);
            parameter.unwrap().1 = encoded(value);
        }
        let url = url_of(&parameters);
        let line = Line::new(balancer, 1, &url, "GET", "hostile/1.0").text();
        (format!("{odd:?}"), line, odd.len() > 1)
    };
    for (name, values) in LISTS.iter().filter(|(name, _)| uses(name)) {
        lines.extend(values.iter().map(|value| line(&[(*name, *value)])));
    }
    for (left, values, right, others) in PAIRS {
        if uses(left) && uses(right) {
            for value in *values {
                let of_value = others
                    .iter()
                    .map(|other| line(&[(*left, *value), (*right, *other)]));
                lines.extend(of_value);
            }
        }
    }
    for url in URLS {
        let line = Line::new(balancer, 1, url.as_bytes(), "GET", url).text();
        lines.push((format!("{url:?}"), line, false));
    }
    for time in OWN_TIMES {
        let mut line = Line::new(balancer, 1, b"/", "GET", "hostile/1.0");
        line.fields[line.time] = time.as_bytes().to_vec();
        lines.push((format!("time {time}"), line.text(), false));
    }
    for field in Line::new(balancer, 1, b"/", "GET", "").numbers {
        for number in FIELD_NUMBERS {
            let mut line = Line::new(balancer, 1, b"/", "GET", "hostile/1.0");
            line.fields[*field] = number.as_bytes().to_vec();
            lines.push((format!("field {field} {number}"), line.text(), false));
        }
    }
    lines
}
