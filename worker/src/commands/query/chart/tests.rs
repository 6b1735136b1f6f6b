use std::sync::Arc;

use arrow::array::{
    ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMillisecondArray,
};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;

use super::*;
use crate::commands::query::output::{Format, Style, write as write_rows};

const NARROW: Screen = Screen {
    columns: 60,
    has_colours: false,
};

async fn drawn(batches: Vec<RecordBatch>, screen: Screen) -> Result<String> {
    let schema = batches[0].schema();
    let stream = futures::stream::iter(batches.into_iter().map(Ok));
    let stream = RecordBatchStreamAdapter::new(schema, stream);
    let style = Style {
        format: Format::Chart,
        rows_max: None,
        screen,
    };
    let mut out = Vec::new();
    write_rows(Box::pin(stream), style, &mut out).await?;
    Ok(String::from_utf8(out).unwrap())
}

fn times(ms: impl IntoIterator<Item = Option<i64>>) -> ArrayRef {
    let times: TimestampMillisecondArray = ms.into_iter().collect();
    Arc::new(times.with_timezone("UTC"))
}

fn batch<const N: usize>(columns: [(&str, ArrayRef); N]) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true)))
        .unwrap()
}

fn texts<'a>(texts: impl IntoIterator<Item = Option<&'a str>>) -> ArrayRef {
    Arc::new(texts.into_iter().collect::<StringArray>())
}

fn numbers(numbers: impl IntoIterator<Item = Option<f64>>) -> ArrayRef {
    Arc::new(numbers.into_iter().collect::<Float64Array>())
}

const HOUR: i64 = 3_600_000;
const START: i64 = 1_795_132_800_000;

/// The picture is no wider than the screen. Sentences beneath it may be.
fn assert_fits(text: &str, columns: usize) {
    for line in text
        .lines()
        .filter(|line| line.contains(['│', '└', '█', '▏']))
    {
        let width = console::measure_text_width(line);
        assert!(width <= columns, "{line}\n{text}");
    }
}

#[tokio::test]
async fn lines_over_time() {
    let hours = || (0..24).map(|hour| Some(START + hour * HOUR));
    let wave = (0..24).map(|hour| Some(50.0 + 40.0 * f64::from(hour - 12).abs() / 12.0));
    let bytes = (0..24).map(|hour| Some(f64::from(hour) * 1_500_000.0));
    let rows = batch([
        ("hour", times(hours())),
        ("requests", numbers(wave)),
        ("sent_bytes", numbers(bytes)),
    ]);
    let text = drawn(vec![rows], NARROW).await.unwrap();
    assert_fits(&text, 60);
    insta::with_settings!({prepend_module_to_snapshot => false, omit_expression => true}, {
        insta::assert_snapshot!("chart_lines", text);
    });
}

#[tokio::test]
async fn a_line_for_each_key() {
    let hours = (0..48).map(|n| Some(START + n / 2 * HOUR));
    let keys = (0..48).map(|n| Some(if n % 2 == 0 { "DE" } else { "日本" }));
    let values = (0..48).map(|n| Some(f64::from(if n % 2 == 0 { n } else { 96 - n })));
    let rows = batch([
        ("hour", times(hours)),
        ("country", texts(keys)),
        ("n", numbers(values)),
    ]);
    let text = drawn(vec![rows.clone()], NARROW).await.unwrap();
    assert_fits(&text, 60);
    insta::with_settings!({prepend_module_to_snapshot => false, omit_expression => true}, {
        insta::assert_snapshot!("chart_keys", text);
    });
    let colours = Screen {
        has_colours: true,
        ..NARROW
    };
    let text = drawn(vec![rows], colours).await.unwrap();
    assert!(
        text.contains("\x1b[36m") && text.contains("━━\x1b[0m 日本"),
        "{text}"
    );
    // Each line of the terminal ends without colour.
    for line in text.lines().filter(|line| line.contains('\x1b')) {
        let last = line.rfind("\x1b[").unwrap();
        assert!(line[last..].starts_with("\x1b[0m"), "{line:?}");
    }
}

#[tokio::test]
async fn bars_of_any_numbers() {
    let rows = batch([
        (
            "page",
            texts([
                Some("/"),
                Some("/search"),
                None,
                Some("日本"),
                Some("שלום"),
                Some("x"),
            ]),
        ),
        (
            "change",
            numbers([
                Some(70.0),
                Some(-13.5),
                Some(0.0),
                None,
                Some(f64::NAN),
                Some(f64::NEG_INFINITY),
            ]),
        ),
        (
            "bytes",
            numbers([
                Some(1e6),
                Some(2e6),
                Some(3.0),
                Some(1536.0),
                Some(0.0),
                Some(5e5),
            ]),
        ),
    ]);
    let text = drawn(vec![rows], NARROW).await.unwrap();
    assert_fits(&text, 60);
    insta::with_settings!({prepend_module_to_snapshot => false, omit_expression => true}, {
        insta::assert_snapshot!("chart_bars", text);
    });
}

#[tokio::test]
async fn a_million_rows_and_thousands_of_keys_are_drawn() {
    let batches = (0..100).map(|part| {
        let rows = part * 10_000..(part + 1) * 10_000;
        let peak = |n: i64| if n == 777_777 { 1e9 } else { 1.0 };
        let values = rows.clone().map(|n| Some(peak(n)));
        batch([
            ("t", times(rows.map(|n| Some(START + n * 1000)))),
            ("n", numbers(values)),
        ])
    });
    let text = drawn(batches.collect(), NARROW).await.unwrap();
    assert_fits(&text, 60);
    assert!(text.contains("1,000,000 rows by t (UTC)\n"), "{text}");
    assert!(text.contains("from its lowest to its highest"), "{text}");
    // The peak is seen.
    assert!(text.lines().nth(1).unwrap().contains("1G"), "{text}");

    let keys: Vec<String> = (0..5000).map(|n| format!("key {n}")).collect();
    let rows = batch([
        ("t", times(keys.iter().map(|_| Some(START)))),
        ("key", texts(keys.iter().map(|key| Some(key.as_str())))),
        ("n", numbers((0..5000).map(|n| Some(f64::from(n))))),
    ]);
    let text = drawn(vec![rows.clone()], NARROW).await.unwrap();
    assert!(text.contains("more than 1000 lines"), "{text}");
    let bars = rows.project(&[1, 2]).unwrap();
    let text = drawn(vec![bars], NARROW).await.unwrap();
    assert!(text.contains("the first 40 rows"), "{text}");
    assert_eq!(text.lines().count(), 42);
}

#[tokio::test]
async fn nothing_that_a_visitor_sends_breaks_the_terminal() {
    let long = "/".repeat(8192);
    let keys = [
        "\x1b]0;owned\x07",
        "\x1b[31mred",
        "a\rb\nc\td",
        "\u{202e}gnp.exe",
        "\u{9b}2J",
        "👩\u{200d}💻",
        "שלום",
        &long,
        "e\u{301}\u{301}\u{301}\u{301}",
        "",
    ];
    let bars = batch([
        ("page\x1b[2J", texts(keys.iter().copied().map(Some))),
        ("n\u{7}", numbers((0..10).map(|n| Some(f64::from(n))))),
    ]);
    let lines = batch([
        ("t\u{8}", times((0..10).map(|n| Some(START + n)))),
        ("page\x1b[2J", texts(keys.iter().copied().map(Some))),
        ("n\u{7}", numbers((0..10).map(|n| Some(f64::from(n))))),
        (
            "b\x1b",
            Arc::new(arrow::array::BinaryArray::from_vec(vec![b"\x1b"; 10])),
        ),
    ]);
    for rows in [bars, lines] {
        for columns in [0, 60, 80, 1000] {
            let screen = Screen {
                columns,
                has_colours: false,
            };
            let text = drawn(vec![rows.clone()], screen).await.unwrap();
            assert_fits(&text, usize::from(screen.width()));
            let acts =
                |c: char| c != '\n' && (c.is_control() || ('\u{202a}'..='\u{202e}').contains(&c));
            assert!(!text.contains(acts), "{text:?}");
            // With colours, there is nothing else but colours.
            let screen = Screen {
                has_colours: true,
                ..screen
            };
            let text = drawn(vec![rows.clone()], screen).await.unwrap();
            for part in text.split('\x1b').skip(1) {
                let code = part.split_once('m').unwrap().0;
                assert!(
                    ["[0", "[31", "[32", "[33", "[34", "[35", "[36"].contains(&code),
                    "{part:?}"
                );
            }
        }
    }
}

#[tokio::test]
async fn odd_results_are_drawn_or_refused() {
    let none = batch([("t", times([])), ("n", numbers([]))]);
    let text = drawn(vec![none], NARROW).await.unwrap();
    assert_eq!(text, "no row has a time and a number\n0 rows by t (UTC)\n");
    let none = batch([("t", texts([])), ("n", numbers([]))]);
    assert_eq!(drawn(vec![none], NARROW).await.unwrap(), "n by t\n0 rows\n");

    let one = batch([("t", times([Some(START)])), ("n", numbers([Some(7.0)]))]);
    let text = drawn(vec![one], NARROW).await.unwrap();
    assert!(
        text.contains("2026-11-20 00:00") && text.contains("1 row by t"),
        "{text}"
    );

    let odd = [
        None,
        Some(f64::NAN),
        Some(f64::INFINITY),
        Some(f64::MAX),
        Some(-f64::MAX),
        Some(1e-320),
    ];
    let hours = [
        Some(i64::MIN),
        Some(0),
        Some(1),
        Some(i64::MAX),
        Some(2),
        None,
    ];
    let rows = batch([("t", times(hours)), ("n", numbers(odd))]);
    let text = drawn(vec![rows], NARROW).await.unwrap();
    assert_fits(&text, 60);
    assert!(
        text.contains("4 rows not drawn: without a time, or NULL, NaN or infinite"),
        "{text}"
    );

    let same = batch([
        ("t", times([Some(START), Some(START)])),
        ("status", Arc::new(Int64Array::from(vec![200, 404]))),
        ("n", numbers([Some(1.0), Some(2.0)])),
    ]);
    let text = drawn(vec![same], NARROW).await.unwrap();
    assert!(
        text.contains("several rows of a line have the same time"),
        "{text}"
    );

    let text = drawn(vec![batch([("n", numbers([Some(1.0)]))])], NARROW).await;
    let error = text.unwrap_err().to_string();
    assert!(
        error.starts_with("this result cannot be drawn: n (double)."),
        "{error}"
    );
}
