//! The log lines that every rollup runs over: ordinary ones, and those of people who try what a value does.

/// How many there are.
const LINES: usize = 64;

/// Values of the URL's parameters. The first is the ordinary one.
const NUMBERS: &[&str] = &[
    "7",
    "0",
    "-1",
    "127",
    "128",
    "2147483647",
    "2147483648",
    "9223372036854775807",
    "-9223372036854775808",
    "1.5",
    "-0.0",
    "NaN",
    "Infinity",
    "-Infinity",
    "1e308",
    "4.9e-324",
    "",
    "x",
    " 5",
    "+5",
];
const TEXTS: &[&str] = &[
    "word/1",
    "WORD",
    "",
    "%C3%A9",
    "e%CC%81",
    "%FF",
    "%00",
    "a%0Ab",
    "%22",
    "%27",
    "%5C",
    "%F0%9F%98%80",
    "%E1%BA%9E",
    "%25zz",
    "$1",
    "http%3A%2F%2Fh%3A80%2Fp%3Fa%3D1%23f",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!",
    "-",
];
const TIMES: &[&str] = &[
    "2026-11-20T10:00:00Z",
    "2026-11-20T10:00:00.123%2B02:00",
    "2026-W47-5",
    "0001-01-01T00:00:00Z",
    "9999-12-31T23:59:59.999Z",
    "10000-01-01T00:00:00Z",
    "-0001-12-31T23:59:59Z",
    "73326-09-11T20:14:45.247Z",
    "x",
    "",
    "T10",
];
const DATES: &[&str] = &[
    "2026-11-20",
    "2024-02-29",
    "2026-02-30",
    "0000-01-01",
    "9999-12-31",
    "10000-01-01",
    "5881580-07-11",
    "-5877641-06-23",
    "x",
    "",
];
const BOOLEANS: &[&str] = &["true", "false", "T", "0", "x"];
const UNIX_TIMES: &[&str] = &[
    "1795168800",
    "0.0005",
    "-62135596800",
    "253402300799.9995",
    "1e18",
    "NaN",
    "-1",
];

/// Values of fields that are numbers.
const SECONDS: &[&str] = &[
    "0.020", "0.001", "-1", "1e308", "0.5", "-", "12.25", "3.000",
];
const BYTES: &[&str] = &["366", "0", "1", "9223372036854775807", "-", "34", "70000"];
const STATUSES: &[&str] = &["200", "404", "500", "-", "2147483647"];

/// What no log line is.
const REJECTED: &[&str] = &[
    "",
    "<html>",
    "https 2026-11-20T10:00:00Z",
    "- - - - - - - - - - - - -",
];

/// Every third line is ordinary. Strides that share no factor make each value meet many others, and each in both halves.
pub fn lines() -> Vec<String> {
    let mut lines: Vec<String> = (0..LINES).map(line).collect();
    for (number, rejected) in REJECTED.iter().enumerate() {
        lines.insert(number * 15, (*rejected).to_owned());
    }
    lines
}

fn line(number: usize) -> String {
    let odd = if number.is_multiple_of(3) { 0 } else { number };
    let pick = |values: &[&'static str], stride: usize| values[odd * stride % values.len()];
    let parameters = [
        ("q", pick(TEXTS, 1)),
        ("p", pick(TEXTS, 5)),
        ("n", pick(NUMBERS, 1)),
        ("x", pick(NUMBERS, 7)),
        ("i", pick(NUMBERS, 3)),
        ("t", pick(TIMES, 1)),
        ("d", pick(DATES, 1)),
        ("b", pick(BOOLEANS, 1)),
        ("u", pick(UNIX_TIMES, 1)),
    ];
    let mut query: Vec<String> = parameters
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    query.push(format!("uid=u{}", number % 11));
    if odd % 8 == 5 {
        query.remove(odd % 7);
    }
    let (day, hour, minute) = (20 + number / 32, 10 + number % 3, number % 4);
    let agent = match odd % 7 {
        0 => "ordinary/1.0",
        3 => "",
        _ => "Mozilla/5.0 (\\x22é\\x22)",
    };
    let (status, received, sent) = (pick(STATUSES, 1), pick(BYTES, 2), pick(BYTES, 3));
    let (first, second, third) = (pick(SECONDS, 1), pick(SECONDS, 3), pick(SECONDS, 5));
    format!(
        "https 2026-11-{day}T{hour}:0{minute}:07.{number:06}Z app/shop/50dc 192.0.2.{}:2817 10.0.0.1:80 {first} {second} {third} \
         {status} {status} {received} {sent} \"GET https://shop.example:443/e?{} HTTP/1.1\" \"{agent}\" ECDHE TLSv1.3 \
         arn:aws:elasticloadbalancing:us-east-2:1:targetgroup/web/73e2 \"Root=1-5833\" \"shop.example\" \"-\" 0 \
         2026-11-{day}T{hour}:00:00.000000Z \"forward\" \"-\" \"-\" \"10.0.0.1:80\" \"200\" \"-\" \"-\" TID_dc57",
        number % 5,
        query.join("&"),
    )
}
