//! The states of each aggregate, and the result that follows from them.

use arrow::datatypes::DataType;
use datafusion::sql::sqlparser::ast::{
    self, CastKind, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, Value,
};
use logmill_sketch::index_bits_of_error;

use super::aggregates::{function_name, is_distinct};
use super::desugar;
use super::results::{arguments, named, parsed, replace, without_parentheses};
use crate::engine::functions::checksum::{CHECKSUM, CHECKSUM_TERM};
use crate::engine::functions::distinct::{
    APPROX_DISTINCT_SKETCH, DISTINCT_COUNT, DISTINCT_HASHES, DISTINCT_SKETCH,
};
use crate::engine::functions::histogram::{BUCKETS, BUCKETS_MAX, HISTOGRAM};
use crate::engine::functions::sketches::AS_VALUES;
use crate::table::MergeRule;

/// The result of an aggregate, computed from aggregates that merge, for queries whose arguments have types that are not known yet.
///
/// # Errors
///
/// As those of a rollup with this aggregate.
pub(crate) fn from_states(call: &Function) -> Result<Expr, String> {
    let parts = parts(call, &[])?;
    let mut result = parsed(&parts.result)?;
    replace(&mut result, &mut |expr| {
        let state = state_number(expr).and_then(|number| parts.states.get(number));
        Ok(state.map(|(_, aggregate, _)| aggregate.clone()))
    })?;
    if function_name(call) == "approx_percentile" {
        let values = arguments(call).into_iter().take(1).cloned().collect();
        let one_of_them = Expr::Function(calling(call, "min", values));
        result = parsed(&format!("\"{AS_VALUES}\"({result}, {one_of_them})"))?;
    }
    Ok(Expr::Nested(Box::new(result)))
}

/// The number of the state that this expression stands for in [`Parts::result`].
pub(super) fn state_number(expr: &Expr) -> Option<usize> {
    named(expr)?.strip_prefix('s')?.parse().ok()
}

/// An aggregate as states, and the result that follows from them. The result names the states `s0`, `s1` and so on.
pub(super) struct Parts {
    /// What the names of the state columns end with, and the aggregates.
    pub(super) states: Vec<(&'static str, Expr, MergeRule)>,
    pub(super) result: String,
}

/// The exact state of a sum of integers, a decimal of 38 digits, and the sum that follows from it.
pub(super) fn exact_sum(sum: &Function) -> (Expr, Expr) {
    let args = arguments(sum).into_iter().map(exact).collect();
    let state = Expr::Function(calling(sum, "sum", args));
    let result = cast(
        CastKind::TryCast,
        state.clone(),
        ast::DataType::BigInt(None),
    );
    (state, result)
}

/// Takes an aggregate apart. `types` are the types of its arguments.
///
/// # Errors
///
/// If the aggregate can't be kept with these arguments. The error says what to write instead.
pub(super) fn parts(call: &Function, types: &[DataType]) -> Result<Parts, String> {
    let name = function_name(call);
    let args: Vec<Expr> = arguments(call).into_iter().cloned().collect();
    let with = |function: &str, args: Vec<Expr>| Expr::Function(calling(call, function, args));
    let same = |suffix, rule| one(suffix, Expr::Function(call.clone()), rule, "s0");
    let is_integer = |place: usize| types.get(place).is_some_and(DataType::is_integer);
    Ok(match (name.as_str(), args.as_slice()) {
        ("count", [x]) if is_distinct(call) => {
            let sketch = match types.first() {
                Some(of) if has_approx_set(of) => with("approx_set", args.clone()),
                _ => with(DISTINCT_SKETCH, args.clone()),
            };
            Parts {
                states: vec![
                    (
                        "hashes",
                        with(DISTINCT_HASHES, vec![x.clone()]),
                        MergeRule::Hashes,
                    ),
                    ("hll", sketch, MergeRule::HyperLogLog),
                ],
                result: format!("\"{DISTINCT_COUNT}\"(s0, s1)"),
            }
        }
        ("count", [] | [_]) | ("count_if", [_]) => same("count", MergeRule::Sum),
        ("min", [_]) => same("min", MergeRule::Min),
        ("max", [_]) => same("max", MergeRule::Max),
        ("bool_or", [_]) => same("bool_or", MergeRule::BoolOr),
        ("bool_and" | "every", [_]) => same("bool_and", MergeRule::BoolAnd),
        ("bitwise_and_agg", [_]) => same("bits", MergeRule::BitAnd),
        ("bitwise_or_agg", [_]) => same("bits", MergeRule::BitOr),
        ("approx_set", [_]) => same("hll", MergeRule::HyperLogLog),
        ("tdigest_agg", [_] | [_, _]) => same("tdigest", MergeRule::TDigest),
        // Any value is right. The least does not depend on the order of lines.
        ("arbitrary" | "any_value", [_]) => one("min", with("min", args), MergeRule::Min, "s0"),
        ("min_by", [x, by]) => extreme_by(with, "min", "min_by", x, by),
        ("max_by", [x, by]) => extreme_by(with, "max", "max_by", x, by),
        ("min" | "max", [x, _]) => {
            return Err(format!(
                "{call}: a table cannot keep several values. Write {name}({x})"
            ));
        }
        ("min_by" | "max_by", [x, by, _]) => {
            return Err(format!(
                "{call}: a table cannot keep several values. Write {name}({x}, {by}), or a rollup that keeps {x} of each line"
            ));
        }
        ("sum", [_]) if is_integer(0) => one(
            "sum",
            exact_sum(call).0,
            MergeRule::Sum,
            "TRY_CAST(s0 AS BIGINT)",
        ),
        ("sum", [_]) => same("sum", MergeRule::Sum),
        ("avg", [x]) => {
            let summed = match is_integer(0) {
                true => exact(x),
                false => x.clone(),
            };
            Parts {
                states: vec![
                    ("sum", with("sum", vec![summed]), MergeRule::Sum),
                    ("count", with("count", vec![x.clone()]), MergeRule::Sum),
                ],
                result: match types.first() {
                    // A decimal with as many digits after the point, rounded half up, as in Trino.
                    Some(DataType::Decimal128(..)) => "s0 / s1",
                    _ => "CAST(s0 AS DOUBLE) / CAST(s1 AS DOUBLE)",
                }
                .to_owned(),
            }
        }
        ("geometric_mean", [x]) => {
            let logarithm = parsed(&format!("ln({})", double(x)))?;
            Parts {
                states: vec![
                    ("logs", with("sum", vec![logarithm]), MergeRule::Sum),
                    ("count", with("count", vec![x.clone()]), MergeRule::Sum),
                ],
                result: "exp(s0 / CAST(s1 AS DOUBLE))".to_owned(),
            }
        }
        ("checksum", [x]) => {
            let term = desugar::call(CHECKSUM_TERM, Some('"'), vec![x.clone()]);
            one(
                "checksum",
                with("sum", vec![term]),
                MergeRule::Sum,
                &format!("\"{CHECKSUM}\"(s0)"),
            )
        }
        ("numeric_histogram", [buckets, x]) => histogram(with, buckets, x, None)?,
        ("numeric_histogram", [buckets, x, weight]) => histogram(with, buckets, x, Some(weight))?,
        ("approx_distinct", [x]) => approx_distinct(with, x, None)?,
        ("approx_distinct", [x, error]) => approx_distinct(with, x, Some(error))?,
        ("approx_percentile", [x, quantiles]) => {
            let digest = with("tdigest_agg", vec![double(x)]);
            percentiles(call, digest, quantiles, is_integer(0))?
        }
        ("approx_percentile", [x, weight, quantiles]) => {
            let digest = with("tdigest_agg", vec![double(x), double(weight)]);
            percentiles(call, digest, quantiles, is_integer(0))?
        }
        ("approx_percentile", [x, weight, quantile, _]) => {
            return Err(format!(
                "{call}: the accuracy is not supported; write approx_percentile({x}, {weight}, {quantile})"
            ));
        }
        ("stddev" | "stddev_samp" | "stddev_pop" | "variance" | "var_samp" | "var_pop", [x]) => {
            variance(with, &name, x)?
        }
        ("covar_pop" | "covar_samp" | "corr" | "regr_slope" | "regr_intercept", [y, x]) => {
            covariance(with, &name, y, x)?
        }
        _ => {
            return Err(format!(
                "{call}: {name} does not take {} arguments; docs/sql.md lists its forms",
                args.len()
            ));
        }
    })
}

fn one(suffix: &'static str, aggregate: Expr, rule: MergeRule, result: &str) -> Parts {
    Parts {
        states: vec![(suffix, aggregate, rule)],
        result: result.to_owned(),
    }
}

/// Whether `approx_set` takes values of this type.
fn has_approx_set(data_type: &DataType) -> bool {
    data_type.is_integer() || data_type.is_floating() || data_type.is_string()
}

fn extreme_by(
    with: impl Fn(&str, Vec<Expr>) -> Expr,
    extreme: &'static str,
    function: &'static str,
    x: &Expr,
    by: &Expr,
) -> Parts {
    let rule = match extreme {
        "min" => MergeRule::Min,
        _ => MergeRule::Max,
    };
    let value = MergeRule::Paired {
        function,
        // Its column is known later.
        with: "".into(),
    };
    Parts {
        states: vec![
            (extreme, with(extreme, vec![by.clone()]), rule),
            ("value", with(function, vec![x.clone(), by.clone()]), value),
        ],
        result: "s1".to_owned(),
    }
}

fn approx_distinct(
    with: impl Fn(&str, Vec<Expr>) -> Expr,
    x: &Expr,
    error: Option<&Expr>,
) -> Result<Parts, String> {
    const STANDARD_ERROR: f64 = 0.023;
    let bits = match error {
        None => index_bits_of_error(STANDARD_ERROR),
        Some(error) => number(error).and_then(index_bits_of_error),
    };
    let Some(bits) = bits else {
        return Err(format!(
            "approx_distinct({x}, …): the standard error must be a number from 0.0040625 to 0.26"
        ));
    };
    let bits = Expr::value(Value::Number(bits.to_string(), false));
    Ok(one(
        "distinct",
        with(APPROX_DISTINCT_SKETCH, vec![x.clone(), bits]),
        MergeRule::HyperLogLog,
        "coalesce(cardinality(s0), 0)",
    ))
}

fn histogram(
    with: impl Fn(&str, Vec<Expr>) -> Expr,
    buckets: &Expr,
    x: &Expr,
    weight: Option<&Expr>,
) -> Result<Parts, String> {
    let max = number(buckets).map(|number| number as usize);
    let Some(max) = max.filter(|max| (2..=BUCKETS_MAX).contains(max)) else {
        return Err(format!(
            "numeric_histogram({buckets}, …): write the number of buckets as a number from 2 to {BUCKETS_MAX}"
        ));
    };
    let one_each = parsed("1e0")?;
    let weight = double(weight.unwrap_or(&one_each));
    Ok(one(
        "histogram",
        with(HISTOGRAM, vec![double(x), weight, buckets.clone()]),
        MergeRule::Histogram(max),
        &format!("\"{BUCKETS}\"(s0)"),
    ))
}

/// The values and the condition of a digest, as text. A digest converts its values to doubles, whether the SQL says so or not.
pub(super) fn digested(call: &Function) -> String {
    let values = arguments(call).into_iter().map(|mut value| {
        while let Expr::Nested(expr)
        | Expr::Cast {
            expr,
            data_type: ast::DataType::Double(_),
            ..
        } = value
        {
            value = expr;
        }
        value.to_string()
    });
    let values: Vec<String> = values.collect();
    let condition = call.filter.as_ref().map(ToString::to_string);
    format!("{} {}", values.join(", "), condition.unwrap_or_default())
}

/// One percentile, or an array of them.
fn percentiles(
    call: &Function,
    digest: Expr,
    quantiles: &Expr,
    is_integer: bool,
) -> Result<Parts, String> {
    let value = |quantile: &Expr| match number(quantile) {
        Some(number) if (0.0..=1.0).contains(&number) => {
            let value = format!("value_at_quantile(s0, {number}e0)");
            Ok(match is_integer {
                true => format!("CAST(round({value}) AS BIGINT)"),
                false => value,
            })
        }
        _ => Err(format!(
            "{call}: write each percentile as a number from 0 to 1, such as 0.95"
        )),
    };
    let result = match without_parentheses(quantiles) {
        Expr::Array(array) => {
            let values: Vec<String> = array.elem.iter().map(value).collect::<Result<_, _>>()?;
            // Without values, there is no array in Trino.
            let values = values.join(", ");
            format!("CASE WHEN s0 IS NOT NULL THEN ARRAY[{values}] END")
        }
        quantile => value(quantile)?,
    };
    Ok(one("tdigest", digest, MergeRule::TDigest, &result))
}

/// The value of a literal number.
fn number(expr: &Expr) -> Option<f64> {
    match expr {
        Expr::Value(value) => match &value.value {
            Value::Number(number, _) => number.parse().ok(),
            _ => None,
        },
        Expr::Nested(inner) => number(inner),
        Expr::Cast { expr, .. } => number(expr),
        Expr::TypedString(text) => match &text.value.value {
            Value::SingleQuotedString(number) => number.parse().ok(),
            _ => None,
        },
        _ => None,
    }
}

fn variance(with: impl Fn(&str, Vec<Expr>) -> Expr, name: &str, x: &Expr) -> Result<Parts, String> {
    let x = double(x);
    let square = Expr::Nested(Box::new(parsed(&format!("({x}) * ({x})"))?));
    let squares = "greatest(s1 - s0 * s0 / CAST(s2 AS DOUBLE), 0e0)";
    let (of, fewest) = match name.ends_with("_pop") {
        true => ("CAST(s2 AS DOUBLE)", 1),
        false => ("CAST(s2 - 1 AS DOUBLE)", 2),
    };
    let root = if name.starts_with("stddev") {
        "sqrt"
    } else {
        ""
    };
    Ok(Parts {
        states: vec![
            ("sum", with("sum", vec![x.clone()]), MergeRule::Sum),
            ("squares", with("sum", vec![square]), MergeRule::Sum),
            ("count", with("count", vec![x]), MergeRule::Sum),
        ],
        result: format!("CASE WHEN s2 >= {fewest} THEN {root}({squares} / {of}) END"),
    })
}

/// The aggregates of pairs of numbers. Pairs with a NULL do not count.
fn covariance(
    with: impl Fn(&str, Vec<Expr>) -> Expr,
    name: &str,
    y: &Expr,
    x: &Expr,
) -> Result<Parts, String> {
    let (x, y) = (double(x), double(y));
    let of_pairs = |value: &Expr, other: &Expr| {
        parsed(&format!("CASE WHEN ({other}) IS NOT NULL THEN {value} END"))
    };
    let (of_x, of_y) = (of_pairs(&x, &y)?, of_pairs(&y, &x)?);
    let product = |one: &Expr, other: &Expr| parsed(&format!("({one}) * ({other})"));
    let sum = |suffix, of: Expr| (suffix, with("sum", vec![of]), MergeRule::Sum);
    let mut states = vec![
        sum("sum_x", of_x.clone()),
        sum("sum_y", of_y.clone()),
        sum("products", product(&x, &y)?),
        (
            "count",
            with("count", vec![product(&x, &y)?]),
            MergeRule::Sum,
        ),
    ];
    let n = "CAST(s3 AS DOUBLE)";
    let together = format!("(s2 - s0 * s1 / {n})");
    let squares =
        |sum: &str, squares: &str| format!("greatest({squares} - {sum} * {sum} / {n}, 0e0)");
    let finite = |value: &str| format!("CASE WHEN is_finite({value}) THEN {value} END");
    let result = match name {
        "covar_pop" => format!("CASE WHEN s3 >= 1 THEN {together} / {n} END"),
        "covar_samp" => format!("CASE WHEN s3 >= 2 THEN {together} / ({n} - 1e0) END"),
        _ => {
            states.push(sum("squares_x", product(&of_x, &of_x)?));
            let slope = format!("{together} / {}", squares("s0", "s4"));
            match name {
                "regr_slope" => finite(&slope),
                "regr_intercept" => finite(&format!("(s1 - {slope} * s0) / {n}")),
                _ => {
                    states.push(sum("squares_y", product(&of_y, &of_y)?));
                    let both = format!("{} * {}", squares("s0", "s4"), squares("s1", "s5"));
                    finite(&format!("({together} / sqrt({both}))"))
                }
            }
        }
    };
    Ok(Parts { states, result })
}

/// The same call, with its FILTER, of another function.
fn calling(call: &Function, function: &str, args: Vec<Expr>) -> Function {
    let mut other = call.clone();
    let quote = function.contains(' ').then_some('"');
    let name = Ident {
        quote_style: quote,
        ..Ident::new(function)
    };
    other.name = vec![name].into();
    if let FunctionArguments::List(list) = &mut other.args {
        list.duplicate_treatment = None;
        list.args = args
            .into_iter()
            .map(|expr| FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)))
            .collect();
    }
    other
}

/// An integer whose sum is exact, whatever visitors write.
fn exact(expr: &Expr) -> Expr {
    cast(CastKind::Cast, expr.clone(), decimal())
}

fn decimal() -> ast::DataType {
    ast::DataType::Decimal(ast::ExactNumberInfo::PrecisionAndScale(38, 0))
}

fn double(expr: &Expr) -> Expr {
    cast(
        CastKind::Cast,
        expr.clone(),
        ast::DataType::Double(ast::ExactNumberInfo::None),
    )
}

pub(super) fn cast(kind: CastKind, expr: Expr, data_type: ast::DataType) -> Expr {
    Expr::Cast {
        kind,
        expr: Box::new(expr),
        data_type,
        array: false,
        format: None,
    }
}
