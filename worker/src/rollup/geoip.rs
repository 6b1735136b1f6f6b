//! `logmill.geoip('country', client_ip, 'country.iso_code')`: a value of an address, from a database beside the rollups.

use std::sync::Arc;

use datafusion::sql::sqlparser::ast::{Expr, Function, Query};

use super::desugar::{call, literal};
use super::joins::Joined;
use super::lookups::Lookups;
use super::results::arguments;
use super::walk;
use crate::engine::functions::geoip;

/// The function's name in SQL.
const NAME: &str = "logmill.geoip";

/// The arguments of a call: the database's name, the address and the path. `None` if it is another call.
fn arguments_of(expr: &Expr) -> Option<Result<(String, Expr, String), String>> {
    let Expr::Function(function) = expr else {
        return None;
    };
    if !function.name.to_string().eq_ignore_ascii_case(NAME) {
        return None;
    }
    Some(match (arguments(function).as_slice(), plain(function)) {
        ([database, address, path], true) => match (literal(database), literal(path)) {
            (Some(database), Some(path)) => Ok((database, (*address).clone(), path)),
            _ => Err(refused(function)),
        },
        _ => Err(refused(function)),
    })
}

fn refused(function: &Function) -> String {
    format!(
        "{function}: write {NAME}('country', client_ip, 'country.iso_code'), with the name of the file country.mmdb and the path of \
         a value as literals"
    )
}

/// Whether a call has a name and arguments alone.
fn plain(function: &Function) -> bool {
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

/// The names of the databases that a query uses.
pub(super) fn names(query: &Query) -> Vec<String> {
    let mut names = Vec::new();
    walk::any(query, &mut |expr| {
        if let Some(Ok((database, _, _))) = arguments_of(expr) {
            names.push(database);
        }
        false
    });
    names
}

/// Lets the calls find their databases.
///
/// # Errors
///
/// A call is of another form, or its database can't be used.
pub(super) fn take(
    query: &mut Query,
    lookups: &Lookups,
    joined: &mut Joined,
) -> Result<(), String> {
    walk::change_exprs(query, &mut |_| Ok(()), &mut |expr| {
        let Some(arguments) = arguments_of(expr) else {
            return Ok(());
        };
        let (name, address, path) = arguments?;
        let lookup = lookups
            .get(&name)
            .ok_or_else(|| format!("{expr}: there is no file {name}.mmdb beside the rollups"))??;
        let lookup = Arc::clone(lookup);
        let function = geoip::value(&name, lookup.addresses()?, &path);
        *expr = call(function.name(), Some('"'), vec![address]);
        joined.add(&lookup, function);
        Ok(())
    })
}
