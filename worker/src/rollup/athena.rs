//! Writes the functions that only logmill has with functions that Athena has, for the views that `logmill ddl` prints.

use datafusion::sql::sqlparser::ast::{Expr, Function, Ident};

use super::aggregates::function_name;
use super::results::{arguments, replace};
use crate::engine::functions::checksum::CHECKSUM;
use crate::engine::functions::distinct::{DISTINCT_COUNT, UNITE_HASHES};
use crate::engine::functions::histogram::{BUCKETS, UNITE_HISTOGRAMS};

/// The expression over columns of a table, as Athena understands it.
///
/// Athena unites sets of hashes without a limit. Where logmill has only a HyperLogLog, so has it. Of histograms, it has at most 10,000
/// buckets of all days, because its `sequence` returns no more numbers.
pub(super) fn in_athena(expr: &Expr) -> Expr {
    let mut expr = expr.clone();
    // The replacement does not fail.
    let _ = replace(&mut expr, &mut |expr| Ok(instead(expr).map(raw)));
    expr
}

/// The SQL of an expression that the parser need not understand: it has lambdas.
fn raw(sql: String) -> Expr {
    Expr::Identifier(Ident::new(sql))
}

fn instead(expr: &Expr) -> Option<String> {
    let Expr::Function(call) = expr else {
        return None;
    };
    let name = |call: &Function| function_name(call).trim_matches('"').to_owned();
    let args = arguments(call);
    let united = |expr: &Expr, function: &str| match expr {
        Expr::Function(inner) if name(inner) == function => {
            let column = arguments(inner).first().map(ToString::to_string);
            column.zip(Some(inner.clone()))
        }
        _ => None,
    };
    match (name(call).as_str(), args.as_slice()) {
        (DISTINCT_COUNT, [hashes, sketch]) => Some(match united(hashes, UNITE_HASHES) {
            Some((column, _)) => distinct_of_rows(&column, &sketch.to_string()),
            None => distinct_of_row(&hashes.to_string(), &sketch.to_string()),
        }),
        (BUCKETS, [histogram]) => Some(match united(histogram, UNITE_HISTOGRAMS) {
            Some((column, unite)) => {
                let buckets_max = arguments(&unite).get(1).map(ToString::to_string);
                buckets_of_rows(&column, &buckets_max?)
            }
            None => buckets_of_row(&histogram.to_string()),
        }),
        (CHECKSUM, [sum]) => Some(checksum_of(&sum.to_string())),
        _ => None,
    }
}

/// The last 64 bits of the sum, as a bigint has them, and then as bytes.
fn checksum_of(sum: &str) -> String {
    let low = format!("({sum}) % DECIMAL '18446744073709551616'");
    format!(
        "reverse(to_big_endian_64(CAST(CASE WHEN {low} < DECIMAL '9223372036854775808' THEN {low} \
         ELSE {low} - DECIMAL '18446744073709551616' END AS bigint)))"
    )
}

fn distinct_of_rows(hashes: &str, sketch: &str) -> String {
    format!(
        "CASE WHEN count_if(length({hashes}) % 8 <> 0) = 0 \
         THEN coalesce(cardinality(array_distinct(flatten(array_agg(transform(sequence(1, length({hashes}) / 8), \
         i -> substr({hashes}, 8 * i - 7, 8))) FILTER (WHERE {hashes} IS NOT NULL)))), 0) \
         ELSE cardinality({sketch}) END"
    )
}

fn distinct_of_row(hashes: &str, sketch: &str) -> String {
    format!(
        "CASE WHEN {hashes} IS NULL THEN 0 WHEN length({hashes}) % 8 = 0 THEN length({hashes}) / 8 \
         ELSE cardinality({sketch}) END"
    )
}

/// The number in the `place`-th half of bucket `i`.
fn number(histogram: &str, place: usize) -> String {
    let first = 15 - 8 * place;
    format!("from_ieee754_64(substr({histogram}, 16 * i - {first}, 8))")
}

fn buckets_of_row(histogram: &str) -> String {
    let numbers = |place| {
        let number = number(histogram, place);
        format!("transform(sequence(1, length({histogram}) / 16), i -> {number})")
    };
    let (values, weights) = (numbers(0), numbers(1));
    format!("CASE WHEN {histogram} IS NOT NULL THEN map({values}, {weights}) END")
}

/// As `NumericHistogram` of the crate `logmill-sketch`: joins the two nearest buckets until there are few enough.
fn buckets_of_rows(histogram: &str, buckets_max: &str) -> String {
    const BUCKET: &str = "ROW(v double, w double)";
    let (value, weight) = (number(histogram, 0), number(histogram, 1));
    let all = format!(
        "flatten(array_agg(transform(sequence(1, length({histogram}) / 16), i -> CAST(ROW({value}, {weight}) AS {BUCKET}))) \
         FILTER (WHERE {histogram} IS NOT NULL))"
    );
    let penalties = "zip_with(slice(a, 1, cardinality(a) - 1), slice(a, 2, cardinality(a) - 1), \
                     (l, r) -> (l.v - r.v) * (l.v - r.v) * l.w * r.w / (l.w + r.w))";
    let joined = format!(
        "CAST(ROW((a[k].v * a[k].w + a[k + 1].v * a[k + 1].w) / (a[k].w + a[k + 1].w), a[k].w + a[k + 1].w) AS {BUCKET})"
    );
    let step = format!(
        "CASE WHEN cardinality(a) < 2 THEN a ELSE transform(ARRAY[{penalties}], p -> \
         CASE WHEN cardinality(a) <= {buckets_max} AND array_min(p) > 0 THEN a \
         ELSE transform(ARRAY[array_position(p, array_min(p))], k -> \
         slice(a, 1, k - 1) || ARRAY[{joined}] || slice(a, k + 2, cardinality(a)))[1] END)[1] END"
    );
    format!(
        "reduce(sequence(1, cardinality({all})), array_sort({all}), (a, i) -> {step}, \
         a -> map(transform(a, x -> x.v), transform(a, x -> x.w)))"
    )
}
