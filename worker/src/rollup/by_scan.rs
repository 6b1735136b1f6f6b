//! Calls that the scan computes while it reads a line: a URL's parameter, as a text or a number, and the line's time. They
//! become columns of the scan.

use datafusion::sql::sqlparser::ast::{
    CastKind, DataType, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Ident,
    Value,
};

use super::aggregates::function_name;
use super::parse::column_of;
use crate::format::{LogFormat, ScanColumn};

/// The values that the scan computes for a query.
pub(super) struct ByScan {
    format: &'static LogFormat,
    /// Columns that are group keys: an expression over one must stay one.
    keys: Vec<String>,
    pub(super) computed: Vec<ScanColumn>,
}

impl ByScan {
    pub(super) fn new(format: &'static LogFormat, keys: Vec<String>) -> Self {
        Self {
            format,
            keys,
            computed: Vec::new(),
        }
    }

    /// The column of the scan that replaces the expression, if the scan can compute it.
    pub(super) fn column(&mut self, expr: &Expr) -> Option<Expr> {
        let computed = match expr {
            Expr::Function(function) => self.call(function)?,
            expr => self.cast(expr)?,
        };
        let name = computed.name(self.format);
        if !self.computed.contains(&computed) {
            self.computed.push(computed);
        }
        Some(Expr::Identifier(Ident::with_quote('"', name)))
    }

    /// The scan column that computes this cast, if there is one.
    fn cast(&self, cast: &Expr) -> Option<ScanColumn> {
        let Expr::Cast {
            kind: CastKind::TryCast,
            expr,
            data_type,
            ..
        } = cast
        else {
            return None;
        };
        let Expr::Identifier(column) = &**expr else {
            return None;
        };
        let parameter = self.computed.iter().find_map(|computed| match computed {
            ScanColumn::UrlParameter(name) if computed.name(self.format) == column.value => {
                Some(name.clone())
            }
            _ => None,
        })?;
        match data_type {
            DataType::Double(_) => Some(ScanColumn::UrlDouble(parameter)),
            DataType::BigInt(_) => Some(ScanColumn::UrlBigint(parameter)),
            _ => None,
        }
    }

    /// The scan column that computes this call, if there is one.
    fn call(&self, function: &Function) -> Option<ScanColumn> {
        let FunctionArguments::List(list) = &function.args else {
            return None;
        };
        let args = list.args.iter().map(|arg| match arg {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr),
            _ => None,
        });
        let args = args.collect::<Option<Vec<_>>>()?;
        let is_column = |expr: &Expr, column: &str| {
            column_of(expr).as_deref() == Some(column) && !self.keys.iter().any(|key| key == column)
        };
        match (function_name(function).as_str(), args.as_slice()) {
            ("from_iso8601_timestamp", [time]) if is_column(time, self.format.time_column) => {
                Some(ScanColumn::Time)
            }
            ("url_extract_parameter", [url, Expr::Value(name)])
                if self
                    .format
                    .url_column
                    .is_some_and(|column| is_column(url, column)) =>
            {
                match &name.value {
                    Value::SingleQuotedString(name) => Some(ScanColumn::UrlParameter(name.clone())),
                    _ => None,
                }
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rollup::Rollup;

    /// The values that the scan computes for a rollup.
    async fn computed(sql: &str) -> Vec<ScanColumn> {
        let rollup = Rollup::from_sql("t", sql).await.unwrap();
        let of_lines = [
            ScanColumn::Day,
            ScanColumn::LineNumber,
            ScanColumn::LineText,
        ];
        let computed = rollup.scan().iter().filter(|column| {
            !matches!(column, ScanColumn::Column(_)) && !of_lines.contains(column)
        });
        computed.cloned().collect()
    }

    #[tokio::test]
    async fn the_scan_takes_over_calls_on_each_line() {
        assert_eq!(
            computed(
                "SELECT url_extract_parameter(a.request_url, 'e') AS e, count(*) AS n FROM alb_access_logs a \
                 WHERE url_extract_parameter(request_url, 'e') <> '' AND from_iso8601_timestamp(time) IS NOT NULL \
                 GROUP BY 1",
            )
            .await,
            [ScanColumn::UrlParameter("e".to_owned()), ScanColumn::Time]
        );
        let name = || "n".to_owned();
        assert_eq!(
            computed(
                "SELECT elb, sum(try_cast(url_extract_parameter(request_url, 'n') AS double)) AS d, \
                 sum(try_cast(url_extract_parameter(request_url, 'n') AS bigint)) AS b, \
                 sum(cast(url_extract_parameter(request_url, 'n') AS double)) AS fails, \
                 sum(try_cast(user_agent AS double)) AS other FROM alb_access_logs GROUP BY 1",
            )
            .await,
            [
                ScanColumn::UrlParameter(name()),
                ScanColumn::UrlDouble(name()),
                ScanColumn::UrlBigint(name())
            ]
        );
    }
}
