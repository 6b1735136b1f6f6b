//! Calls that look a text up in a file beside the rollups, such as `logmill.geoip('country', client_ip, 'country.iso_code')`.

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::logical_expr::ScalarUDF;
use datafusion::sql::sqlparser::ast::{Expr, Function, Query};

use super::desugar::{call, literal};
use super::joins::Joined;
use super::lookups::Lookups;
use super::results::arguments;
use super::walk;

/// The functions that look a text up in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LookupCall {
    GeoIp,
    UserAgent,
}

impl LookupCall {
    const ALL: [Self; 2] = [Self::GeoIp, Self::UserAgent];

    /// The function's name in SQL.
    fn name(self) -> &'static str {
        match self {
            Self::GeoIp => "logmill.geoip",
            Self::UserAgent => "logmill.user_agent",
        }
    }

    /// The name of a file, with its ending.
    fn file(self, name: &str) -> String {
        let ending = match self {
            Self::GeoIp => "mmdb",
            Self::UserAgent => "yaml",
        };
        format!("{name}.{ending}")
    }

    /// A call with a file of this name.
    pub(super) fn example(self, name: &str) -> String {
        let rest = match self {
            Self::GeoIp => "client_ip, 'country.iso_code'",
            Self::UserAgent => "user_agent, 'family'",
        };
        format!("{}('{name}', {rest})", self.name())
    }

    fn refused(self, function: &Function) -> String {
        let name = match self {
            Self::GeoIp => "country",
            Self::UserAgent => "regexes",
        };
        format!(
            "{function}: write {}, with the name of the file {} and the path of a value as literals",
            self.example(name),
            self.file(name)
        )
    }
}

/// A call, and its arguments: the file's name, the text and the path.
struct Call {
    of: LookupCall,
    file: String,
    text: Expr,
    path: String,
}

/// The call that an expression is. `None` if it is another one.
fn call_of(expr: &Expr) -> Option<Result<Call, String>> {
    let Expr::Function(function) = expr else {
        return None;
    };
    let name = function.name.to_string();
    let of = LookupCall::ALL
        .into_iter()
        .find(|of| name.eq_ignore_ascii_case(of.name()))?;
    let found = match (arguments(function).as_slice(), is_plain(function)) {
        ([file, text, path], true) => literal(file).zip(literal(path)).map(|(file, path)| Call {
            of,
            file,
            text: (*text).clone(),
            path,
        }),
        _ => None,
    };
    Some(found.ok_or_else(|| of.refused(function)))
}

/// Whether a call has a name and arguments alone.
fn is_plain(function: &Function) -> bool {
    let Function {
        name: _,
        uses_odbc_syntax,
        parameters: _,
        args: _,
        filter,
        null_treatment,
        over,
        within_group,
    } = function;
    !uses_odbc_syntax
        && filter.is_none()
        && null_treatment.is_none()
        && over.is_none()
        && within_group.is_empty()
}

/// The names of the files that a query uses.
pub(super) fn names(query: &Query) -> Vec<String> {
    let mut names = Vec::new();
    walk::any(query, &mut |expr| {
        if let Some(Ok(call)) = call_of(expr) {
            names.push(call.file);
        }
        false
    });
    names
}

/// Lets the calls of a query over rows find their files in a folder. Returns the functions in their place.
///
/// # Errors
///
/// If a call has another form, its file can't be used, or no folder is given.
pub(crate) async fn take_lookup_calls(
    query: &mut Query,
    folder: Option<&str>,
) -> Result<Vec<Arc<ScalarUDF>>, String> {
    let names: BTreeSet<String> = names(query).into_iter().collect();
    let lookups = match (folder, names.first()) {
        (Some(folder), _) => Lookups::read(folder, &names).await,
        (None, None) => Ok(Lookups::default()),
        (None, Some(name)) => {
            return Err(format!(
                "the SQL looks values up in the file {name}: give its folder, as in --rollups rollups"
            ));
        }
    };
    let lookups = lookups.map_err(|error| format!("{error:#}"))?;
    let mut joined = Joined::default();
    take(query, &lookups, &mut joined)?;
    Ok(joined.functions)
}

/// Lets the calls find their files.
///
/// # Errors
///
/// A call is of another form, or its file can't be used.
pub(super) fn take(
    query: &mut Query,
    lookups: &Lookups,
    joined: &mut Joined,
) -> Result<(), String> {
    walk::change_exprs(query, &mut |_| Ok(()), &mut |expr| {
        let Some(found) = call_of(expr) else {
            return Ok(());
        };
        let Call {
            of,
            file,
            text,
            path,
        } = found?;
        let lookup = lookups.get(&file).ok_or_else(|| {
            let file = of.file(&file);
            format!("{expr}: there is no file {file} beside the rollups")
        })??;
        let lookup = Arc::clone(lookup);
        let function = lookup.value(of, &path)?;
        *expr = call(function.name(), Some('"'), vec![text]);
        joined.add(&lookup, function);
        Ok(())
    })
}
