"""The parts of Trino's SQL that come from Java, implemented independently from Java's documentation: which texts are a
`java.net.URI`, how `java.net.URLDecoder` decodes, and which texts `Double.parseDouble` parses. Shares no code with logmill."""

import ipaddress
import math
import re
import unicodedata
from urllib.parse import unquote_to_bytes

UNRESERVED = r"A-Za-z0-9\-_.!~*'()"
# "Other" characters of java.net.URI: not ASCII, not control, not space. `is_uri` checks the spaces.
OTHER = "\u0080-\U0010ffff"
ESCAPED = "%[0-9A-Fa-f]{2}"


def some(characters):
    return re.compile(f"(?:[{UNRESERVED}{characters}{OTHER}]|{ESCAPED})*")


PATH = some(":@&=+$,;/")
QUERY = some(r";/?:@&=+$,\[\]")
REGISTRY_NAME = some("$,;:@&=+")
USER_INFO = some(";:&=+$,")
SCHEME = re.compile("[A-Za-z][A-Za-z0-9+.-]*")
# RFC 2396, appendix B, except that a colon ends even an empty scheme.
PARTS = re.compile(r"(?:(?P<scheme>[^:/?#]*):)?(?P<rest>[^#]*)(?:#(?P<fragment>.*))?", re.DOTALL)
HIERARCHICAL = re.compile(r"(?://(?P<authority>[^/?]*))?(?P<path>[^?]*)(?:\?(?P<query>.*))?", re.DOTALL)


def split_uri(text):
    """Path and query of a URI, both raw; None for a missing one. Returns None if the text is not a URI."""
    if any(ord(c) >= 0x80 and unicodedata.category(c) in ("Cc", "Zs", "Zl", "Zp") for c in text):
        return None
    parts = PARTS.fullmatch(text)
    scheme, rest, fragment = parts["scheme"], parts["rest"], parts["fragment"]
    if scheme is not None and not (SCHEME.fullmatch(scheme) and rest):
        return None
    if not QUERY.fullmatch(fragment or ""):
        return None
    if scheme is not None and not rest.startswith("/"):
        return (None, None) if QUERY.fullmatch(rest) else None
    parts = HIERARCHICAL.fullmatch(rest)
    nothing_follows = not (parts["path"] or parts["query"] is not None or fragment is not None)
    if parts["authority"] == "" and nothing_follows:
        return None
    if not (is_authority(parts["authority"] or "") and PATH.fullmatch(parts["path"]) and QUERY.fullmatch(parts["query"] or "")):
        return None
    return parts["path"], parts["query"]


def is_authority(text):
    """Whether it is a registry name, or a server with an IPv6 address in brackets."""
    if REGISTRY_NAME.fullmatch(text):
        return True
    server = re.fullmatch(r"(?:(?P<user>[^@]*)@)?\[(?P<address>[0-9A-Fa-f:.]+(?:%\w+)?)\](?::(?P<port>[0-9]*))?", text)
    return bool(
        server
        and USER_INFO.fullmatch(server["user"] or "")
        and is_ipv6(server["address"])
        and int(server["port"] or 0) < 2**31
    )


def is_ipv6(text):
    try:
        ipaddress.IPv6Address(text)
        return True
    except ValueError:
        return False


def decode(text):
    """Decodes percent escapes as UTF-8. Invalid UTF-8 becomes U+FFFD; as in Java, a surrogate becomes only one."""
    return re.sub(b"\xed[\xa0-\xbf][\x80-\xbf]", "\ufffd".encode(), unquote_to_bytes(text)).decode(errors="replace")


def url_extract_path(url):
    uri = url is not None and split_uri(url)
    return decode(uri[0] or "") if uri else None


def url_extract_parameter(url, name):
    """The decoded value of the first parameter with this name. Names are compared without decoding."""
    uri = url is not None and split_uri(url)
    if not uri or uri[1] is None:
        return None
    for pair in uri[1].split("&"):
        key, _, value = pair.partition("=")
        if key == name:
            return decode(value.replace("+", " "))
    return None


DECIMAL = re.compile(r"[-+]?(?:NaN|Infinity|(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?[dDfF]?)")
HEXADECIMAL = re.compile(r"([-+]?0[xX](?:[0-9a-fA-F]+\.?[0-9a-fA-F]*|\.[0-9a-fA-F]+)[pP][-+]?[0-9]+)[dDfF]?")


def double(text):
    """TRY_CAST(text AS double)."""
    text = text and text.strip("".join(map(chr, range(33))))
    if not text:
        return None
    if hexadecimal := HEXADECIMAL.fullmatch(text):
        try:
            return float.fromhex(hexadecimal[1])
        except OverflowError:
            return -math.inf if text.startswith("-") else math.inf
    if not DECIMAL.fullmatch(text):
        return None
    return float(text if text.endswith(("NaN", "Infinity")) else text.rstrip("dDfF"))
