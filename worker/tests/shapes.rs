//! A rollup does not know in which shape a line came: the same lines as text, JSON, W3C, plain and Parquet are the same rows.

use std::fs;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, TimeUnit};
use logmill::format::{ALB_ACCESS_LOGS, ELB_LOGS, FORMATS, LogFormat, NLB_TLS_LOGS};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, GzipLevel, ZstdLevel};
use parquet::file::properties::WriterProperties;

use crate::support::{Random, Workplace, gzip, logmill, rows, seeds};

/// Fields that the text log writes in double quotes.
const QUOTED: [&str; 16] = [
    "request_line",
    "user_agent",
    "trace_id",
    "domain_name",
    "chosen_cert_arn",
    "actions_executed",
    "redirect_url",
    "error_reason",
    "target_port_list",
    "target_status_code_list",
    "classification",
    "classification_reason",
    "transformed_host",
    "transformed_uri",
    "request_transform_status",
    "leaf_client_cert_subject",
];

/// Lines of a log: their fields, in the order of a line of text.
struct Log {
    format: &'static LogFormat,
    names: Vec<&'static str>,
    lines: Vec<Vec<String>>,
}

impl Log {
    fn new(format: &'static LogFormat, count: usize, random: &mut Random) -> Self {
        let names: Vec<&str> = format.field_names().collect();
        let line = |second: usize, random: &mut Random| {
            let values = names.iter().map(|name| value(format, name, second, random));
            values.collect()
        };
        Self {
            format,
            lines: (0..count).map(|second| line(second, random)).collect(),
            names,
        }
    }

    fn is_quoted(&self, field: usize) -> bool {
        // The chosen certificate of a network load balancer is not.
        QUOTED.contains(&self.names[field]) && self.format != &NLB_TLS_LOGS
    }

    fn text(&self) -> String {
        let mut text = String::new();
        for line in &self.lines {
            let fields = line
                .iter()
                .enumerate()
                .map(|(at, value)| match self.is_quoted(at) {
                    true => format!("\"{value}\""),
                    false => value.clone(),
                });
            text += &(fields.collect::<Vec<_>>().join(" ") + "\n");
        }
        text
    }

    /// JSON lines of these fields. The order of each line is its own.
    fn json(&self, fields: &[usize], random: &mut Random) -> String {
        let mut text = String::new();
        for line in &self.lines {
            let mut fields = fields.to_vec();
            if random.below(2) == 0 {
                shuffle(&mut fields, random);
            }
            let members = fields.iter().map(|&field| {
                let value = &line[field];
                let is_number = serde_json::from_str::<serde_json::Number>(value).is_ok();
                let value = match is_number && random.below(2) == 0 {
                    true => value.clone(),
                    false => serde_json::to_string(value).unwrap(),
                };
                format!("\"{}\":{value}", self.names[field])
            });
            text += &format!("{{{}}}\n", members.collect::<Vec<_>>().join(","));
        }
        text
    }

    /// Lines of these fields with a delimiter between them.
    fn delimited(&self, fields: &[usize], delimiter: &str) -> String {
        let mut text = String::new();
        for line in &self.lines {
            let values = fields.iter().map(|&field| {
                let value = &line[field];
                match value.contains(delimiter) {
                    true => format!("\"{value}\""),
                    false => value.clone(),
                }
            });
            text += &(values.collect::<Vec<_>>().join(delimiter) + "\n");
        }
        text
    }

    fn names(&self, fields: &[usize]) -> Vec<&'static str> {
        fields.iter().map(|&field| self.names[field]).collect()
    }

    /// A Parquet file of these fields: all texts, or numbers and times where the values are some.
    fn parquet(&self, fields: &[usize], is_typed: bool, random: &mut Random) -> Vec<u8> {
        let columns = fields.iter().map(|&field| {
            let texts = self.lines.iter().map(|line| Some(line[field].as_str()));
            let texts: ArrayRef = Arc::new(texts.collect::<StringArray>());
            let column = match is_typed {
                true => typed(&texts),
                false => texts,
            };
            (self.names[field], column)
        });
        let rows = RecordBatch::try_from_iter(columns).unwrap();
        let codecs = [
            Compression::UNCOMPRESSED,
            Compression::SNAPPY,
            Compression::GZIP(GzipLevel::default()),
            Compression::ZSTD(ZstdLevel::default()),
        ];
        let properties = WriterProperties::builder()
            .set_compression(codecs[random.below(4) as usize])
            .set_max_row_group_row_count(Some(1 + random.below(40) as usize))
            .build();
        let mut bytes = Vec::new();
        let mut writer = ArrowWriter::try_new(&mut bytes, rows.schema(), Some(properties)).unwrap();
        writer.write(&rows).unwrap();
        writer.close().unwrap();
        bytes
    }
}

/// The values as another type, if all of them are of it and read back as they were written.
fn typed(texts: &ArrayRef) -> ArrayRef {
    let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    for data_type in [DataType::Int64, DataType::Float64, time] {
        let typed = cast(texts, &data_type).unwrap();
        let again = cast(&typed, &DataType::Utf8).unwrap();
        // `-` is NULL in a column of numbers.
        if typed.null_count() == 0 && *again == **texts {
            return typed;
        }
    }
    Arc::clone(texts)
}

fn shuffle<T>(items: &mut [T], random: &mut Random) {
    for at in (1..items.len()).rev() {
        items.swap(at, random.below(at as u64 + 1) as usize);
    }
}

/// A value that AWS may write, and now and then one that a visitor has sent.
fn value(format: &LogFormat, name: &str, second: usize, random: &mut Random) -> String {
    let is_network = format == &NLB_TLS_LOGS;
    let one_of = |values: &[&str], random: &mut Random| {
        values[random.below(values.len() as u64) as usize].to_owned()
    };
    let time = format!("2026-11-20T10:{:02}:{:02}", second / 60 % 60, second % 60);
    match name {
        "time" if is_network => time,
        "time" => format!("{time}.{:06}Z", random.below(1_000_000)),
        "type" if is_network => "tls".to_owned(),
        "type" => one_of(&["http", "https", "h2", "grpcs", "wss", "lambda"], random),
        "version" => one_of(&["1.0", "2.0"], random),
        "elb" if is_network => "net/edge/c6e77e28c25b2234".to_owned(),
        "elb" => "app/shop/50dc6c495c0c9188".to_owned(),
        "client_ip" => one_of(&["192.0.2.1", "2001:db8::1"], random),
        "client_port" | "listener_port" if format.field_names().any(|name| name == "client_ip") => {
            (1 + random.below(65_535)).to_string()
        }
        "client_port" | "destination_port" => one_of(
            &[
                "192.0.2.1:2817",
                "[2001:db8::1]:443",
                "2001:db8::1:443",
                "192.0.2.255:1",
            ],
            random,
        ),
        "target_port" | "target_addr" => one_of(&["10.0.0.1:80", "-", "fd00::1:8080"], random),
        "request_processing_time"
        | "target_processing_time"
        | "response_processing_time"
        | "tls_handshake_latency"
        | "tls_handshake_time"
        | "connection_time"
        | "latency" => one_of(&["0.001", "-1", "-", "12", "0.5", "0.019584011"], random),
        "elb_status_code" | "target_status_code" | "incoming_tls_alert" | "status_code" => {
            one_of(&["200", "460", "-"], random)
        }
        "received_bytes" | "sent_bytes" => random.below(1 << 40).to_string(),
        "status" => one_of(&["PASS", "FAIL"], random),
        "request_line" => one_of(
            &[
                "GET https://shop.example:443/a?e=1&n=caf%C3%A9 HTTP/2.0",
                "POST http://shop.example:80/a b c?q=\\x22x\\x22|;,^ HTTP/1.1",
                "- - - ",
                "- http://shop.example:80- -",
            ],
            random,
        ),
        "alpn_client_preference_list" => one_of(&["\"h2\",\"http/1.1\"", "-", "\"h2\""], random),
        _ if QUOTED.contains(&name) && !is_network => one_of(
            &[
                "-",
                "curl/8.16",
                "a b, c; d | e",
                "\\x22quoted\\x22",
                "\u{e9}\u{1f600}",
                "C:\\\\x",
                "a\tb",
            ],
            random,
        ),
        _ => one_of(&["-", "word", "a/b:c=1,d;e|f", "\u{e9}"], random),
    }
}

/// The rows of a file, as text. The columns are those that these fields decide.
fn rows_of(place: &Workplace, file: &str, format: &LogFormat, columns: &str) -> Vec<String> {
    let sql = format!("SELECT {columns} FROM {}", format.table);
    let (file, rollups) = (place.path(&format!("logs/{file}")), place.path("rollups"));
    let mut command = logmill([
        "query",
        "--logs",
        &file,
        "--rollups",
        &rollups,
        "--format",
        "csv",
        &sql,
    ]);
    rows(&mut command)
}

/// The columns of a format's table, with NULL in the place of those that none of these fields decides.
fn columns_of(format: &LogFormat, fields: &[&str], log: &Log) -> String {
    let named = |column: &str| -> &str {
        match (format.table, column) {
            ("alb_access_logs", "client_ip" | "client_port") => "client_port",
            ("alb_access_logs", "target_ip" | "target_port") => "target_port",
            ("alb_access_logs", "request_verb" | "request_url" | "request_proto") => "request_line",
            ("alb_access_logs", "lambda_error_reason") => "error_reason",
            ("nlb_tls_logs", "client_ip" | "client_port") => "client_port",
            ("nlb_tls_logs", "target_ip" | "target_port") => "destination_port",
            ("nlb_tls_logs", "listener_id") => "listener",
            ("nlb_tls_logs", "tcp_connection_time_ms") => "connection_time",
            ("nlb_tls_logs", "tls_handshake_time_ms") => "tls_handshake_time",
            ("nlb_tls_logs", "cert_arn") => "chosen_cert_arn",
            ("nlb_tls_logs", "certificate_serial") => "chosen_cert_serial",
            ("nlb_tls_logs", "tls_cipher_suite") => "tls_cipher",
            ("nlb_tls_logs", "tls_named_group") => "tls_keyexchange",
            _ => log
                .names
                .iter()
                .find(|name| **name == column)
                .unwrap_or(&""),
        }
    };
    let columns = format.columns.iter().map(|column| {
        let field = named(column.name);
        match fields.contains(&field) {
            true => format!("\"{}\"", column.name),
            // It is NULL: as text, it is empty.
            false => format!("NULL AS \"{}\"", column.name),
        }
    });
    columns.collect::<Vec<_>>().join(", ")
}

/// All columns.
fn all_columns(format: &LogFormat) -> String {
    let names = format
        .columns
        .iter()
        .map(|column| format!("\"{}\"", column.name));
    names.collect::<Vec<_>>().join(", ")
}

#[test]
fn each_shape_gives_the_same_rows() {
    for seed in seeds(2) {
        println!("LOGMILL_SEED={seed}");
        let mut random = Random::new(seed);
        for format in FORMATS.into_iter().filter(|format| *format != &ELB_LOGS) {
            let log = Log::new(format, 100, &mut random);
            let place = Workplace::new();
            let write = |name: &str, bytes: &[u8]| {
                fs::write(place.path(&format!("logs/{name}")), bytes).unwrap()
            };
            write("text", &gzip(&log.text()));
            // All fields, and a choice of them in another order.
            let all: Vec<usize> = (0..log.names.len()).collect();
            let mut some = all.clone();
            shuffle(&mut some, &mut random);
            some.truncate(log.names.len() / 2);
            // Some fields are of several formats, and do not tell the format by themselves.
            let telling = [
                "elb_status_code",
                "tls_verify_status",
                "target_addr",
                "destination_port",
            ];
            for (field, name) in log.names.iter().enumerate() {
                if telling.contains(name) && !some.contains(&field) {
                    some.push(field);
                }
            }
            for fields in [all, some] {
                let names = log.names(&fields);
                let expected = rows_of(&place, "text", format, &columns_of(format, &names, &log));
                let mut rules = String::new();
                let mut files = vec![
                    "json".to_owned(),
                    "parquet".to_owned(),
                    "typed.parquet".to_owned(),
                ];
                write("json", &gzip(&log.json(&fields, &mut random)));
                write("parquet", &log.parquet(&fields, false, &mut random));
                write("typed.parquet", &log.parquet(&fields, true, &mut random));
                for (word, delimiter) in [("tab", "\t"), ("space", " "), ("comma", ","), ("|", "|")]
                {
                    let name = delimiter.bytes().next().unwrap();
                    // Quotes within a list can't be told from quotes around a value.
                    if delimiter == "," && format == &NLB_TLS_LOGS {
                        continue;
                    }
                    let lines = log.delimited(&fields, delimiter);
                    let header = format!("#Version: 1.0\n#Fields: {}\n", names.join(" "));
                    write(&format!("w3c-{name}"), (header + &lines).as_bytes());
                    write(&format!("plain-{name}"), lines.as_bytes());
                    files.extend([format!("w3c-{name}"), format!("plain-{name}")]);
                    rules += &format!("plain-{name} {} {word} {}\n", format.table, names.join(" "));
                }
                fs::write(place.path("rollups/plain.txt"), rules).unwrap();
                for file in files {
                    let read = rows_of(&place, &file, format, &all_columns(format));
                    assert_eq!(read.len(), expected.len(), "{file} of {}", format.table);
                    for (line, (read, expected)) in read.iter().zip(&expected).enumerate() {
                        assert_eq!(
                            read, expected,
                            "{file} of {}, line {line} of {names:?}",
                            format.table
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn a_parquet_file_that_is_damaged_fails_and_nothing_else_does() {
    let mut random = Random::new(1);
    let log = Log::new(&ALB_ACCESS_LOGS, 100, &mut random);
    let fields: Vec<usize> = (0..log.names.len()).collect();
    let whole = log.parquet(&fields, false, &mut random);
    let place = Workplace::new();
    place.rollup(
        "requests",
        "SELECT elb, count(*) AS requests FROM alb_access_logs GROUP BY 1",
    );
    fs::write(place.path("logs/whole.parquet"), &whole).unwrap();
    fs::write(place.path("logs/cut.parquet"), &whole[..whole.len() - 100]).unwrap();
    fs::write(place.path("logs/magic.parquet"), b"PAR1").unwrap();
    let mut damaged = 0;
    for seed in 0..30 {
        let mut bytes = whole.clone();
        for _ in 0..20 {
            let at = 4 + random.below(bytes.len() as u64 - 4) as usize;
            bytes[at] ^= 1 << random.below(8);
        }
        fs::write(place.path(&format!("logs/{seed}.parquet")), bytes).unwrap();
        damaged += 1;
    }
    let output = place.run_command().output().unwrap();
    let printed = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{printed}");
    assert!(
        printed.contains("cut.parquet: cannot be read: the Parquet file cannot be decoded"),
        "{printed}"
    );
    // A flipped bit of a value is another value.
    let counted = place.query("SELECT sum(requests) FROM requests");
    let lines: u64 = counted[0].parse().unwrap();
    assert!(lines >= 100 && lines <= 100 * (damaged + 1), "{printed}");
}

/// Values that no field of a log has cost at most themselves.
#[test]
fn a_parquet_file_may_have_odd_values_and_types() {
    use arrow::array::{BinaryArray, StructArray};
    use arrow::datatypes::Field;

    let text = |texts: &[&str]| -> ArrayRef { Arc::new(StringArray::from(texts.to_vec())) };
    let agents: ArrayRef = Arc::new(BinaryArray::from(vec![
        &b"curl"[..],
        b"a\xff\xffb",
        b"curl",
    ]));
    let nested: ArrayRef = Arc::new(StructArray::from(vec![(
        Arc::new(Field::new("a", DataType::Utf8, true)),
        text(&["x", "y", "z"]),
    )]));
    let long = "x".repeat(300_000);
    let columns = vec![
        ("time", text(&["2026-11-20T10:00:00Z"; 3])),
        ("elb", text(&["app/a/1"; 3])),
        ("elb_status_code", text(&["200"; 3])),
        ("user_agent", agents),
        ("trace_id", nested),
        ("redirect_url", text(&["-", "-", &long])),
    ];
    let rows = RecordBatch::try_from_iter(columns).unwrap();
    let place = Workplace::new();
    let sql = "SELECT user_agent, max(trace_id) AS trace_id, max(redirect_url) AS url, count(*) AS n FROM alb_access_logs GROUP BY 1";
    place.rollup("agents", sql);
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, rows.schema(), None).unwrap();
    writer.write(&rows).unwrap();
    writer.close().unwrap();
    fs::write(place.path("logs/odd.parquet"), bytes).unwrap();
    let printed = place.run();
    assert!(
        printed.contains("lines      3, of which 1 rejected"),
        "{printed}"
    );
    let counted = place.query("SELECT user_agent, trace_id, n FROM agents ORDER BY 1");
    assert_eq!(counted, ["a\u{fffd}\u{fffd}b,{a: y},1", "curl,{a: x},1"]);
    let rejected = place.query("SELECT reason FROM rejected_lines");
    assert_eq!(rejected, ["longer than 262144 bytes"]);
}
