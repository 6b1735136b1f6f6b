//! Looks an address up in a database of addresses, in MaxMind's format.

use std::hash::{Hash, Hasher};
use std::net::IpAddr;
use std::sync::Arc;

use arrow::array::{Array, StringViewBuilder};
use arrow::datatypes::DataType;
use bytes::Bytes;
use datafusion::common::{Result, exec_datafusion_err};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use maxminddb::{PathElement, Reader};
use serde_json::Value;

use super::lookup::PREFIX;
use super::text_values;

/// A database of addresses.
pub(crate) type Addresses = Reader<Bytes>;

/// The function that returns a value of the record for an address, as a text. The path has the names of maps and the places in arrays,
/// with dots between them.
pub(crate) fn value(database: &str, addresses: &Arc<Addresses>, path: &str) -> ScalarUDF {
    ScalarUDF::new_from_impl(GeoIp {
        name: format!("{PREFIX}{database}({path})"),
        signature: Signature::exact(vec![DataType::Utf8View], Volatility::Immutable),
        addresses: Arc::clone(addresses),
        path: path.split('.').map(str::to_owned).collect(),
    })
}

struct GeoIp {
    name: String,
    signature: Signature,
    addresses: Arc<Addresses>,
    path: Vec<String>,
}

impl std::fmt::Debug for GeoIp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name)
    }
}

// A plan has one database of a name.
impl PartialEq for GeoIp {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && Arc::ptr_eq(&self.addresses, &other.addresses)
    }
}

impl Eq for GeoIp {}

impl Hash for GeoIp {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl GeoIp {
    /// The value for an address. `None` if the text is not an address, or the database has no value for it.
    fn find(&self, address: &str, path: &[PathElement<'_>]) -> Result<Option<String>> {
        let Ok(address) = address.parse::<IpAddr>() else {
            return Ok(None);
        };
        // A database of IPv4 addresses has no others.
        if address.is_ipv6() && self.addresses.metadata().ip_version == 4 {
            return Ok(None);
        }
        let damaged = |error| exec_datafusion_err!("the database of addresses is damaged: {error}");
        let found = self.addresses.lookup(address).map_err(damaged)?;
        let value = found.decode_path::<Value>(path).map_err(damaged)?;
        Ok(match value {
            Some(Value::String(text)) => Some(text),
            Some(number @ (Value::Number(_) | Value::Bool(_))) => Some(number.to_string()),
            _ => None,
        })
    }
}

impl ScalarUDFImpl for GeoIp {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8View)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let path = self.path.iter().map(|part| match part.parse() {
            Ok(place) => PathElement::Index(place),
            Err(_) => PathElement::Key(part),
        });
        let path: Vec<PathElement<'_>> = path.collect();
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let addresses = text_values(&arrays[0])?;
        let mut values = StringViewBuilder::with_capacity(addresses.len());
        for address in addresses {
            let value = address
                .map(|address| self.find(address, &path))
                .transpose()?;
            values.append_option(value.flatten());
        }
        Ok(ColumnarValue::Array(Arc::new(values.finish())))
    }
}
