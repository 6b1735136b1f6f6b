//! Looks an address up in a database of addresses, in MaxMind's format.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use datafusion::common::{Result, exec_datafusion_err};
use datafusion::logical_expr::ScalarUDF;
use maxminddb::{PathElement, Reader};
use serde_json::Value;

use super::lookup;

/// A database of addresses.
pub(crate) type Addresses = Reader<Bytes>;

/// The function that returns a value of the record for an address, as a text. The path has the names of maps and the places in arrays,
/// with dots between them.
pub(crate) fn value(database: &str, addresses: &Arc<Addresses>, path: &str) -> ScalarUDF {
    let addresses = Arc::clone(addresses);
    let parts: Vec<String> = path.split('.').map(str::to_owned).collect();
    lookup::of_texts(database, path, move |address| {
        find(&addresses, address, &parts)
    })
}

/// The value for an address. `None` if the text is not an address, or the database has no value for it.
fn find(addresses: &Addresses, address: &str, path: &[String]) -> Result<Option<String>> {
    let Ok(address) = address.parse::<IpAddr>() else {
        return Ok(None);
    };
    // A database of IPv4 addresses has no others.
    if address.is_ipv6() && addresses.metadata().ip_version == 4 {
        return Ok(None);
    }
    let path = path.iter().map(|part| match part.parse() {
        Ok(place) => PathElement::Index(place),
        Err(_) => PathElement::Key(part),
    });
    let path: Vec<PathElement<'_>> = path.collect();
    let damaged = |error| exec_datafusion_err!("the database of addresses is damaged: {error}");
    let found = addresses.lookup(address).map_err(damaged)?;
    let value = found.decode_path::<Value>(&path).map_err(damaged)?;
    Ok(match value {
        Some(Value::String(text)) => Some(text),
        Some(number @ (Value::Number(_) | Value::Bool(_))) => Some(number.to_string()),
        _ => None,
    })
}
