//! IP addresses. Like Trino, 16 bytes hold an address: an IPv4 address is mapped into IPv6, as `::ffff:10.0.0.1`.

use std::net::{IpAddr, Ipv6Addr};

/// The bytes of an address.
pub type Bytes = [u8; 16];

/// VARCHAR to IPADDRESS.
///
/// # Errors
///
/// The text is not an address.
pub fn varchar_to_ip(text: &str) -> Result<Bytes, String> {
    match address(text) {
        Some(address) => Ok(mapped(address).octets()),
        None => Err(format!("Cannot cast value to IPADDRESS: {text}")),
    }
}

/// IPADDRESS to VARCHAR.
pub fn ip_to_varchar(bytes: Bytes) -> String {
    Ipv6Addr::from(bytes).to_canonical().to_string()
}

/// An address as Guava's `InetAddresses.forString` reads it, which ignores the zone of an IPv6 address.
fn address(text: &str) -> Option<IpAddr> {
    if let Ok(address) = text.parse() {
        return Some(address);
    }
    let (address, _) = text.split_once('%')?;
    address.parse().ok().map(IpAddr::V6)
}

fn mapped(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
}

/// A network in CIDR notation, such as `10.0.0.0/8`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    base: Ipv6Addr,
    /// The number of bits that addresses of the network share, of 128.
    prefix: u32,
}

impl Network {
    /// Parses a network. Of an IPv4 network, the bits behind the prefix must be 0. A network that is written in IPv6's way is one of 16
    /// bytes, so `::/0` has all IPv4 addresses too.
    ///
    /// # Errors
    ///
    /// The text is not a network, with Trino's message.
    pub fn parse(text: &str) -> Result<Self, String> {
        let invalid = || "Invalid CIDR".to_owned();
        let (base, prefix) = text.split_once('/').ok_or_else(invalid)?;
        let base = address(base).ok_or("Invalid network IP address")?;
        let prefix: i32 = prefix
            .parse()
            .map_err(|_| format!("For input string: \"{prefix}\""))?;
        let prefix = u32::try_from(prefix).map_err(|_| "Invalid prefix length")?;
        let prefix = match base {
            IpAddr::V4(base) => {
                let rest = base.to_bits() & u32::MAX.checked_shr(prefix).unwrap_or(0);
                (prefix <= 32 && rest == 0).then(|| prefix + 96)
            }
            IpAddr::V6(_) => (prefix <= 128).then_some(prefix),
        };
        Ok(Self {
            base: mapped(base),
            prefix: prefix.ok_or_else(invalid)?,
        })
    }

    /// Whether the address is in the network.
    pub fn contains(&self, bytes: Bytes) -> bool {
        let differing = self.base.to_bits() ^ u128::from_be_bytes(bytes);
        differing.leading_zeros() >= self.prefix
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // tests/trino compares more texts with Trino.
    #[test]
    fn addresses_are_read_and_written() {
        for (text, written) in [
            ("10.0.0.1", "10.0.0.1"),
            ("::ffff:10.0.0.1", "10.0.0.1"),
            ("::ffff:a00:1", "10.0.0.1"),
            ("2001:DB8:0:0:1:0:0:1", "2001:db8::1:0:0:1"),
            ("::", "::"),
            ("fe80::1%eth0", "fe80::1"),
            ("::1.2.3.4", "::102:304"),
        ] {
            assert_eq!(
                varchar_to_ip(text).map(ip_to_varchar),
                Ok(written.to_owned())
            );
        }
        for invalid in [
            "",
            "-",
            "10.0.0",
            "10.0.0.256",
            "010.0.0.1",
            "10.0.0.1%a",
            "1::2::3",
            "10.0.0.1 ",
            ":1",
        ] {
            varchar_to_ip(invalid).unwrap_err();
        }
    }

    #[test]
    fn networks_contain_addresses() {
        let contains = |network, address| {
            Ok::<_, String>(Network::parse(network)?.contains(varchar_to_ip(address)?))
        };
        assert_eq!(contains("10.0.0.0/8", "10.1.2.3"), Ok(true));
        assert_eq!(contains("10.0.0.0/8", "11.1.2.3"), Ok(false));
        assert_eq!(contains("10.0.0.0/8", "::1"), Ok(false));
        assert_eq!(contains("0.0.0.0/0", "1.2.3.4"), Ok(true));
        assert_eq!(contains("::/0", "1.2.3.4"), Ok(true));
        assert_eq!(contains("::ffff:10.0.0.0/104", "10.1.2.3"), Ok(true));
        assert_eq!(contains("1.2.3.4/32", "1.2.3.4"), Ok(true));
        assert_eq!(contains("2001:db8::1/32", "2001:db8:ffff::"), Ok(true));
        assert_eq!(contains("::1/128", "::2"), Ok(false));
        for invalid in [
            "10.0.0.1/8",
            "10.0.0.0",
            "x/8",
            "10.0.0.0/33",
            "10.0.0.0/-1",
            "::/129",
            "::/x",
        ] {
            Network::parse(invalid).unwrap_err();
        }
    }
}
