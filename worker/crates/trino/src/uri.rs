//! `java.net.URI(String)`, with which Trino parses every URL.
//!
//! This is neither RFC 3986 nor the WHATWG standard. It is RFC 2396 with the deviations that JDK 17's documentation of
//! `java.net.URI` lists. The URLs that it refuses decide which rows have a NULL. A crate for one of the other two
//! standards would differ for exactly the odd URLs that fill the log of a public endpoint.
//!
//! Nothing is allocated, because a rollup may parse a URL for every line.

use wide::u8x16;

use logmill_byte_search::Marks;

/// The undecoded parts of a URI, as the getters of `java.net.URI` return them; `None` is Java's `null`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Uri<'a> {
    /// `getScheme()`, in its original case.
    pub scheme: Option<&'a str>,
    /// `getHost()`; an IPv6 literal has its brackets. `None` also if the authority is legal but not
    /// `[userinfo@]host[:port]` (an underscore in the host, `host:80-`): Java treats such an authority as registry-based,
    /// without a host.
    pub host: Option<&'a str>,
    /// `getPort()`, never negative; `None` is Java's -1. As in Java, not limited to 65,535.
    pub port: Option<i32>,
    /// `getRawPath()`: `None` for an opaque URI (`mailto:a@b`), otherwise present but possibly empty.
    pub raw_path: Option<&'a str>,
    /// `getRawQuery()`, without the `?`.
    pub raw_query: Option<&'a str>,
    /// `getRawFragment()`, without the `#`.
    pub raw_fragment: Option<&'a str>,
}

// The classes that a byte belongs to: those of RFC 2396, with RFC 2732's brackets, under their names there.
const SCHEME: u8 = 1;
const PATH: u8 = 1 << 1;
const URIC: u8 = 1 << 2;
const REG_NAME: u8 = 1 << 3;
const USERINFO: u8 = 1 << 4;
/// Anything that a server-based authority can contain. This includes a `%` whatever follows it, because `%` introduces
/// the scope of an IPv6 literal.
const SERVER: u8 = 1 << 5;
/// The bytes of a host name and its port. Both `SERVER` and `REG_NAME` allow all of them.
const HOST_AND_PORT: u8 = 1 << 6;
const SCOPE_ID: u8 = 1 << 7;

static CLASS: [u8; 256] = classes();

const fn classes() -> [u8; 256] {
    let mut table = [0; 256];
    let everywhere = PATH | URIC | REG_NAME | USERINFO | SERVER;
    let mut byte = 0;
    while byte < 128 {
        if (byte as u8).is_ascii_alphanumeric() {
            table[byte] = everywhere | SCHEME | HOST_AND_PORT | SCOPE_ID;
        }
        byte += 1;
    }
    add(&mut table, b"-_.!~*'()", everywhere);
    add(&mut table, b":&=+$,", everywhere);
    add(&mut table, b";", everywhere);
    add(&mut table, b"@", PATH | URIC | REG_NAME | SERVER);
    add(&mut table, b"/", PATH | URIC);
    add(&mut table, b"?", URIC);
    add(&mut table, b"[]", URIC | SERVER);
    add(&mut table, b"%", SERVER);
    add(&mut table, b"+-.", SCHEME);
    add(&mut table, b"-.:", HOST_AND_PORT);
    add(&mut table, b"_.", SCOPE_ID);
    table
}

const fn add(table: &mut [u8; 256], bytes: &[u8], class: u8) {
    let mut index = 0;
    while index < bytes.len() {
        table[bytes[index] as usize] |= class;
        index += 1;
    }
}

impl<'a> Uri<'a> {
    /// Parses `text`. `None` is Java's `URISyntaxException`, for which Trino returns NULL.
    ///
    /// In one case this returns `None` where Trino fails the query: for an IPv6 literal with an embedded IPv4 number
    /// above 2^31 (`http://[::99999999999.0.0.1]/`), `java.net.URI` throws a `NumberFormatException`, which Trino doesn't
    /// catch.
    pub fn parse(text: &'a str) -> Option<Self> {
        let (uri, path) = Self::parse_start(text)?;
        match path {
            Some(path) => uri.parse_path(text, path),
            None => Some(uri),
        }
    }

    /// Parses everything up to the path, and returns where the path begins. An opaque URI has no path and is parsed
    /// completely.
    fn parse_start(text: &'a str) -> Option<(Self, Option<usize>)> {
        let bytes = text.as_bytes();
        let end = bytes.len();
        let mut uri = Self::default();
        let mut at = 0;

        if let Some(colon) = scheme_end(bytes)? {
            uri.scheme = Some(&text[..colon]);
            at = colon + 1;
            if bytes.get(at) != Some(&b'/') {
                let stop = scan(text, at, URIC)?;
                if stop == at {
                    return None;
                }
                uri.raw_fragment = fragment(text, stop)?;
                return Some((uri, None));
            }
        }

        if bytes[at..].starts_with(b"//") {
            at += 2;
            let stop = authority_end(bytes, at);
            if stop > at {
                (uri.host, uri.port) = authority(&text[at..stop])?;
            } else if stop == end {
                // An empty authority is legal only if something follows it.
                return None;
            }
            at = stop;
        }
        Some((uri, Some(at)))
    }

    /// Parses the rest: the path, which begins at `start`, a query and a fragment.
    fn parse_path(mut self, text: &'a str, start: usize) -> Option<Self> {
        let mut marks = Marks::new(text.as_bytes(), start, not_plain_in_path);
        let mut at = scan_on(text, &mut marks, PATH)?;
        self.raw_path = Some(&text[start..at]);
        if text.as_bytes().get(at) == Some(&b'?') {
            let stop = scan_on(text, &mut marks, URIC)?;
            self.raw_query = Some(&text[at + 1..stop]);
            at = stop;
        }
        self.raw_fragment = fragment(text, at)?;
        Some(self)
    }
}

/// Finds the queries of many URLs. Remembers the start of the last URL, because most URLs begin alike.
#[derive(Debug, Default)]
pub struct Queries {
    /// The text before the path of the last URL: a legal scheme and authority.
    known: String,
}

impl Queries {
    /// `getRawQuery()` of the URL. `None` if the URL has no query or is refused; `url_extract_parameter` is then NULL for
    /// every name.
    pub fn raw_query<'a>(&mut self, url: &'a str) -> Option<&'a str> {
        let known = self.known.len();
        if known > 0
            && url.starts_with(&self.known)
            && authority_end(url.as_bytes(), known) == known
        {
            return Uri::default().parse_path(url, known)?.raw_query;
        }
        let (uri, path) = Uri::parse_start(url)?;
        let path = path?;
        if uri.host.is_some() {
            self.known.clear();
            self.known.push_str(&url[..path]);
        }
        uri.parse_path(url, path)?.raw_query
    }
}

/// Returns the index of the scheme's `:`, or `Some(None)` if there is no scheme. `None` is an invalid URI: the text
/// before its first `:` is not a scheme, and the `:` is too early to be part of a path.
fn scheme_end(bytes: &[u8]) -> Option<Option<usize>> {
    let Some(stop) = bytes
        .iter()
        .position(|byte| CLASS[usize::from(*byte)] & SCHEME == 0)
    else {
        return Some(None);
    };
    let delimiter = bytes[stop..]
        .iter()
        .find(|byte| matches!(byte, b':' | b'/' | b'?' | b'#'));
    if delimiter != Some(&b':') {
        return Some(None);
    }
    (bytes[stop] == b':' && bytes[0].is_ascii_alphabetic()).then_some(Some(stop))
}

/// Parses the fragment at `at`, if any. It must extend to the end; nothing else may follow.
fn fragment(text: &str, at: usize) -> Option<Option<&str>> {
    let end = text.len();
    if at == end {
        return Some(None);
    }
    let legal = text.as_bytes()[at] == b'#' && scan(text, at + 1, URIC)? == end;
    legal.then(|| Some(&text[at + 1..]))
}

/// Returns the index of the first character from `start` on that `class` doesn't allow, or the end of the text. `None` is
/// a `%` without two hexadecimal digits after it, which Java refuses everywhere.
fn scan(text: &str, start: usize, class: u8) -> Option<usize> {
    let mut marks = Marks::new(text.as_bytes(), start, not_plain);
    scan_on(text, &mut marks, class)
}

/// [`scan`] from the current position of `marks`. These must come from [`not_plain`], or from [`not_plain_in_path`] for a
/// class that allows a `/`.
#[inline(always)]
fn scan_on(text: &str, marks: &mut impl Iterator<Item = usize>, class: u8) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut resume = 0;
    for at in marks {
        if at < resume {
            continue;
        }
        match bytes[at] {
            byte if CLASS[usize::from(byte)] & class != 0 => {}
            b'%' => match bytes.get(at + 1..at + 3) {
                Some(pair) if pair.iter().all(u8::is_ascii_hexdigit) => {}
                _ => return None,
            },
            0x80.. => match text[at..].chars().next() {
                Some(character) if is_other(character) => resume = at + character.len_utf8(),
                _ => return Some(at),
            },
            _ => return Some(at),
        }
    }
    Some(bytes.len())
}

/// Matches the bytes that at least one of the classes in [`scan`] doesn't allow, and `~`.
#[inline(always)]
fn not_plain(bytes: u8x16) -> u8x16 {
    not_plain_in_path(bytes) | bytes.simd_eq(u8x16::splat(b'/'))
}

/// [`not_plain`] without `/`, which a path contains and a query may contain.
#[inline(always)]
fn not_plain_in_path(bytes: u8x16) -> u8x16 {
    let or = |bit| bytes | u8x16::splat(bit);
    let is = |bytes: u8x16, byte| bytes.simd_eq(u8x16::splat(byte));
    let within = |bytes: u8x16, first: u8, last: u8| {
        let from_first = bytes - u8x16::splat(first);
        let length = u8x16::splat(last.wrapping_sub(first));
        from_first.min(length).simd_eq(from_first)
    };
    within(bytes, 0x7f, b' ') // from above the printable characters round to below them
        | within(or(0x20), b'{', b'~') // also `[\]^`
        | is(or(0x20), b'`') // and `@`
        | is(or(1), b'#') // and `"`
        | is(or(1), b'?') // and `>`
        | is(bytes, b'%')
        | is(bytes, b'<')
}

/// Java's "other" characters, legal wherever an escape is: non-ASCII, and neither `Character.isISOControl` nor
/// `Character.isSpaceChar`. Java tests UTF-16 units, which makes no difference: a surrogate is neither.
fn is_other(character: char) -> bool {
    !matches!(
        character,
        '\0'..='\u{a0}'
            | '\u{1680}'
            | '\u{2000}'..='\u{200a}'
            | '\u{2028}'
            | '\u{2029}'
            | '\u{202f}'
            | '\u{205f}'
            | '\u{3000}'
    )
}

fn authority_end(bytes: &[u8], start: usize) -> usize {
    let ends = |byte: &u8| matches!(byte, b'/' | b'?' | b'#');
    bytes[start..]
        .iter()
        .position(ends)
        .map_or(bytes.len(), |length| start + length)
}

type HostAndPort<'a> = (Option<&'a str>, Option<i32>);

/// Parses a non-empty authority. If it is not server-based, it is registry-based, provided that its characters allow
/// that.
fn authority(text: &str) -> Option<HostAndPort<'_>> {
    let end = text.len();
    let plain = text
        .bytes()
        .all(|byte| CLASS[usize::from(byte)] & HOST_AND_PORT != 0);
    let registry = plain || scan(text, 0, REG_NAME)? == end;
    // Every character of a registry-based authority is legal in a server-based one.
    let server = registry || scan(text, 0, SERVER)? == end;
    if !server {
        return None;
    }
    match host_and_port(text) {
        Some((host, port)) => Some((Some(host), port)),
        None => registry.then_some((None, None)),
    }
}

/// Parses `[userinfo@]host[:port]`, which must extend to the end of `text`.
fn host_and_port(text: &str) -> Option<(&str, Option<i32>)> {
    let (userinfo, server) = text.split_once('@').unwrap_or(("", text));
    if scan(userinfo, 0, USERINFO)? != userinfo.len() {
        return None;
    }
    let length = if server.starts_with('[') {
        bracketed(server)?
    } else {
        name_or_ipv4(server.as_bytes())?
    };
    let (host, rest) = server.split_at(length);
    if rest.is_empty() {
        return Some((host, None));
    }
    let port = rest.strip_prefix(':')?;
    if port.is_empty() {
        return Some((host, None));
    }
    if !port.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some((host, Some(port.parse().ok()?)))
}

/// The length of an IPv4 address or a host name. A `:` or nothing must follow it.
fn name_or_ipv4(bytes: &[u8]) -> Option<usize> {
    let length = ipv4(bytes).filter(|length| matches!(bytes.get(*length), None | Some(b':')));
    length.or_else(|| host_name(bytes))
}

/// The length of the IPv4 address at the start of `bytes`. Java accepts any number of leading zeros.
fn ipv4(bytes: &[u8]) -> Option<usize> {
    let length = bytes
        .iter()
        .take_while(|byte| byte.is_ascii_digit() || **byte == b'.')
        .count();
    let mut numbers = 0;
    for number in bytes[..length].split(|byte| *byte == b'.') {
        let fits = |value: u32, digit: &u8| {
            Some(value * 10 + u32::from(digit - b'0')).filter(|value| *value < 256)
        };
        number.iter().try_fold(0, fits)?;
        if number.is_empty() {
            return None;
        }
        numbers += 1;
    }
    (numbers == 4).then_some(length)
}

/// The length of a host name: labels of letters, digits and inner dashes, with an optional dot at the end. If there are
/// several labels, the last must start with a letter.
fn host_name(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    let mut last_label = None;
    while bytes.get(at).is_some_and(u8::is_ascii_alphanumeric) {
        let is_inner = |byte: &&u8| byte.is_ascii_alphanumeric() || **byte == b'-';
        last_label = Some(at);
        at += bytes[at..].iter().take_while(is_inner).count();
        if bytes[at - 1] == b'-' {
            return None;
        }
        if bytes.get(at) != Some(&b'.') {
            break;
        }
        at += 1;
    }
    let label = last_label?;
    let ends = matches!(bytes.get(at), None | Some(b':'));
    (ends && (label == 0 || bytes[label].is_ascii_alphabetic())).then_some(at)
}

/// The length of an IPv6 literal with its brackets, and with the optional `%scope` at its end.
fn bracketed(text: &str) -> Option<usize> {
    let close = text.find(']')?;
    let literal = &text.as_bytes()[1..close];
    let address = match literal.iter().position(|byte| *byte == b'%') {
        Some(percent) => {
            let scope = &literal[percent + 1..];
            if scope.is_empty()
                || scope
                    .iter()
                    .any(|byte| CLASS[usize::from(*byte)] & SCOPE_ID == 0)
            {
                return None;
            }
            &literal[..percent]
        }
        None => literal,
    };
    is_ipv6(address).then_some(close + 1)
}

/// Whether this is an IPv6 address: groups of hexadecimal digits with at most one `::` among them, and optionally an IPv4
/// address in place of the last two. It has sixteen octets, or fewer with a `::`.
fn is_ipv6(bytes: &[u8]) -> bool {
    let Some((head, rest)) = hex_groups(bytes) else {
        return false;
    };
    if let Some(tail) = rest.strip_prefix(b"::") {
        // The part before `::` may not end in an IPv4 address, which is legal only at the end.
        return tail_octets(tail).is_some_and(|tail| head + tail < 16);
    }
    match rest {
        [] => head == 16,
        [b':', address @ ..] => head == 12 && ipv4(address) == Some(address.len()),
        _ => false,
    }
}

/// The number of octets after `::`.
fn tail_octets(bytes: &[u8]) -> Option<usize> {
    let (octets, rest) = hex_groups(bytes)?;
    let address = match rest {
        [] => return Some(octets),
        [b':', address @ ..] if octets > 0 => address,
        address if octets == 0 => address,
        _ => return None,
    };
    (ipv4(address) == Some(address.len())).then_some(octets + 4)
}

/// The number of octets in the groups at the start of `bytes`, and the rest, from a `::` or an IPv4 address on.
/// `None` for a group that is too long, or missing after its `:`.
fn hex_groups(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut octets = 0;
    let mut rest = bytes;
    loop {
        let group = match rest {
            _ if octets == 0 => rest,
            [b':', b':', ..] => return Some((octets, rest)),
            [b':', group @ ..] => group,
            _ => return Some((octets, rest)),
        };
        let length = group
            .iter()
            .take_while(|byte| byte.is_ascii_hexdigit())
            .count();
        if group.get(length) == Some(&b'.') && length > 0 || length == 0 && octets == 0 {
            return Some((octets, rest));
        }
        if !(1..=4).contains(&length) {
            return None;
        }
        octets += 2;
        rest = &group[length..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_bytes_are_in_every_class() {
        let every = PATH | URIC | REG_NAME | USERINFO | SERVER;
        for byte in 0..=255 {
            let is_plain = CLASS[usize::from(byte)] & every == every && byte != b'~';
            let told = not_plain(u8x16::splat(byte)).to_bitmask();
            assert_eq!(told, if is_plain { 0 } else { 0xffff }, "{byte:#x}");
            let told = not_plain_in_path(u8x16::splat(byte)).to_bitmask();
            let is_plain = is_plain || byte == b'/';
            assert_eq!(told, if is_plain { 0 } else { 0xffff }, "{byte:#x}");
        }
    }
}
