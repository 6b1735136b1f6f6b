"""Log lines that are difficult for expressions: odd texts, numbers, dates and times, in a URL's parameters and in separate
fields. The trace id identifies each line."""

import gzip
from pathlib import Path

DEFAULTS = {
    "type": "https",
    "time": "2026-11-20T10:00:00.000000Z",
    "elb": "app/shop/50dc6c495c0c9188",
    "client": "192.0.2.10:41000",
    "target": "10.0.0.1:80",
    "request_processing_time": "0.001",
    "target_processing_time": "0.250",
    "response_processing_time": "0.000",
    "elb_status_code": "200",
    "target_status_code": "200",
    "received_bytes": "120",
    "sent_bytes": "4096",
    "request": "GET https://shop.example.com:443/e?e=view HTTP/1.1",
    "user_agent": "curl/8.16.0",
    "ssl_cipher": "ECDHE-RSA-AES128-GCM-SHA256",
    "ssl_protocol": "TLSv1.2",
    "target_group_arn": "arn:aws:elasticloadbalancing:us-east-2:123456789012:targetgroup/web/73e2d6bc24d8a067",
    "trace_id": "",
    "domain_name": "shop.example.com",
    "chosen_cert_arn": "-",
    "matched_rule_priority": "0",
    "request_creation_time": "2026-11-20T09:59:59.750000Z",
    "actions_executed": "waf,forward",
    "redirect_url": "-",
    "error_reason": "-",
    "target_port_list": "10.0.0.1:80",
    "target_status_code_list": "200",
    "classification": "-",
    "classification_reason": "-",
    "conn_trace_id": "TID_dc57cebed65b444ebc8177bb698fe166",
}
QUOTED = set(
    "request user_agent trace_id domain_name chosen_cert_arn actions_executed redirect_url error_reason target_port_list"
    " target_status_code_list classification classification_reason".split()
)

# The request after the verb.
URLS = [
    "https://shop.example.com:443/",
    "https://shop.example.com:443/e?e=view&uid=42&c=DE",
    "https://shop.example.com:443/e?e=signup&e=second&uid=",
    "https://shop.example.com:443/e?e",
    "https://shop.example.com:443/e?",
    "https://shop.example.com:443/e?=x&&e=last",
    "https://shop.example.com:443/caf%C3%A9/%2F?e=a+b%20c&n=%2B1",
    "https://shop.example.com:443/é/日本?e=ü&uid=名前",
    "https://shop.example.com:443/a%FFb?e=%C3%28",
    "https://shop.example.com:443/e?e=100%25&uid=%F0%9F%8D%8E",
    "https://shop.example.com:443/e?e=%zz",
    "https://shop.example.com:443/e?e={x}|y",
    "https://shop.example.com:443/e?e=\\x22quoted\\x22",
    "https://shop.example.com:443/with space?e=view",
    "https://shop.example.com:443/e?E=upper&e=lower#part",
    "https://shop.example.com:443/e?e=a=b=c;d",
    "https://shop.example.com:443/%e?e=view",
    "https://[2001:db8::1]:443/p?e=six",
    "https://my_host:443/p?e=underscore",
    "https://203.0.113.9/p?e=noport",
    "https://shop.example.com:99999/p?e=port",
    "http://shop.example.com:80-",
    "wss://shop.example.com:443/chat?e=socket",
    "https://user@shop.example.com:443/p?e=user",
    "https://shop.example.com:443//double//slash?e=view",
    "-",
    "*",
    "/only/a/path?e=path",
]

# Values of the parameter n, for casts to numbers, booleans and dates.
VALUES = (
    "0 1 -1 42 007 %2B5 -0 1.5 2.5 -2.5 -0.0 .5 1. 1e3 1E-3 1e400 -1e400 NaN nan Infinity -Infinity inf 0x10 0x1p3 1d 1_000"
    " 127 128 -128 32767 32768 2147483647 2147483648 -2147483648 9223372036854775807 9223372036854775808 -9223372036854775808"
    " 0.1 0.30000000000000004 123456789.123456789 1e7 12345678 0.001 0.00012 1e21 %2012%20 %0912 12%00 %EF%BC%91%EF%BC%92 abc"
    " true TRUE t F no yes on false 2026-11-20 2024-02-29 2026-02-29 2026-2-9 2026-11-20T10:00:00Z 20261120"
    " %E2%88%921"
).split()

# Values of the parameter t, for conversions to times.
TIMES = [
    "2026-11-20T10:00:00Z",
    "2026-11-20T10:00:00.123456Z",
    "2026-11-20T10:00:00.999999999Z",
    "2026-11-20T10:00:00",
    "2026-11-20T10:00",
    "2026-11-20",
    "2026-11",
    "2026",
    "2026-W47-5",
    "2026-324",
    "1969-12-31T23:59:59.999Z",
    "0001-01-01T00:00:00Z",
    "9999-12-31T23:59:59.999Z",
    "2024-02-29T12:00:00Z",
    "2023-02-29T12:00:00Z",
    "2026-11-20 10:00:00",
    "2026-11-20T24:00:00Z",
    "2026-11-20T10:60:00Z",
    "20261120T100000Z",
    "2026-01-01T00:00:00Z",
    "yesterday",
    # The clocks change in Berlin and in New York.
    "2026-03-29T00:59:59.999Z",
    "2026-03-29T01:00:00Z",
    "2026-10-25T00:30:00Z",
    "2026-10-25T01:30:00Z",
    "2026-03-08T06:59:00Z",
    "2026-03-08T07:00:00Z",
    "2026-11-01T05:30:00Z",
    "2026-11-01T06:30:00Z",
    "2101-07-01T22:30:00Z",
    "1890-01-01T12:00:00Z",
]

# Values of the parameter d, for patterns of dates and times.
DATES = [
    "2026-11-20T10:05:09.123456Z",
    "2026-11-20t10:05:09.12z",
    "2026-11-20T10:05:09",
    "2026-11-20%2010:05:09",
    "2026-11-20%2010:05:09.1239",
    "2026-11-20%2010:05:09.9999%20Europe/Berlin",
    "2026-10-25%2002:30:00%20Europe/Berlin",
    "2026-03-29%2002:30:00%20Europe/Berlin",
    "2026-11-20%2010:05%2B02:00",
    "2026-11-20%2010:05%20%20UTC",
    "2026-11-20%2010",
    "2026-11-20%20Mars/Base",
    "%202026-1-2%203:4:5%20",
    "2024-02-29",
    "2023-02-29",
    "2026-13-01",
    "26-11-20",
    "%2B12026-11-20",
    "-2026-11-20%2000:00:00",
    "20/Nov/2026:10:05:09%20%2B0230",
    "20/NOV/2026:10:05:09%20Z",
    "20/november/2026:24:05:09%20-1400",
    "20.11.26%2012:05:09%20pm",
    "20.11.69%2012:05:09%20AM",
    "31.12.70%2013:05:09%20AM",
    "Feb%2029%202024%2011pm",
    "march%201%20%202024%201am",
    "2026-w47%20fri",
    "2020-W53%20Sunday",
    "2021-W53%20Mon",
    "366%202024",
    "366%202023",
    "10:05",
    "24:00",
    "5:7",
    "11-20",
    "2-30",
    "%EF%BC%92%EF%BC%90%EF%BC%92%EF%BC%96-11-20",
    "2026112010",
    "",
]

# Values of the parameter z: times that are not in UTC. Real logs have none.
ZONED_TIMES = ["2026-11-20T10:00:00%2B05:30", "2021-01-03T23:30:00-02:00"]

AGENTS = [
    "-",
    "",
    " ",
    "  padded  ",
    "tab\there",
    "\u00a0no-break\u00a0",
    "\u2003em space\u2003",
    "Straße",
    "STRASSE İstanbul ıi",
    "ΌΔΟΣ όδος",
    "naïve café",
    "cafe\u0301",
    "日本語のエージェント",
    "🍎🍏 apples",
    "👩‍👩‍👧 family",
    "100%_off",
    "a_b%c\\d",
    "back\\slash",
    "it's",
    "a,b,,c,",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_7 like Mac OS X) AppleWebKit/605.1.15",
    "bot (+https://example.com/bot)",
    "2026-11-20",
    "ＦＵＬＬ　ｗｉｄｔｈ",
    "\ufeffbom",
    "x" * 300,
]

# Odd values of other fields.
FIELDS = [
    {"target": "-", "target_processing_time": "-1", "request_processing_time": "-1", "response_processing_time": "-1",
     "elb_status_code": "502", "target_status_code": "-", "target_port_list": "-", "target_status_code_list": "-"},
    {"received_bytes": "9223372036854775807", "sent_bytes": "9223372036854775807"},
    {"received_bytes": "0", "sent_bytes": "0", "elb_status_code": "460", "target_status_code": "-"},
    {"client": "2001:db8::7:50000", "target": "fd00::9:8080"},
    {"type": "ws", "elb_status_code": "101", "sent_bytes": "1"},
    {"type": "grpcs", "target_status_code": "200", "matched_rule_priority": "-1"},
    {"elb_status_code": "-", "target_status_code": "-"},
    {"time": "2026-11-20T23:59:59.999999Z", "target_processing_time": "60.000"},
    {"time": "2026-11-20T10:00:00.0000Z"},
    {"time": "2026-11-19T00:00:00.000500Z", "target_processing_time": "0.0005"},
    {"target_processing_time": "0.1", "request_processing_time": "0.2", "response_processing_time": "0.3"},
    {"actions_executed": "redirect", "redirect_url": "https://shop.example.com:443/new?e=x", "elb_status_code": "301"},
    {"conn_trace_id": "-", "classification": "Ambiguous", "classification_reason": "SpaceInUri"},
]


CLASSIC_LINES = """
2026-11-20T10:00:00.000000Z legacy 192.0.2.10:41000 10.0.0.1:80 0.000073 0.001048 0.000057 200 200 0 29 "GET http://www.example.com:80/ HTTP/1.1" "curl/8.16.0" - -
2026-11-20T10:00:01.000000Z legacy 192.0.2.11:41001 10.0.0.1:443 0.000086 0.001048 0.001337 200 200 0 57 "GET https://www.example.com:443/?a=b HTTP/1.1" "naïve agent" DHE-RSA-AES128-SHA TLSv1.2
2026-11-20T11:00:00.500000Z legacy 192.0.2.10:41002 - -1 -1 -1 503 0 0 0 "POST http://www.example.com:80/down HTTP/1.1" "-" - -
2026-11-21T00:00:00.000000Z legacy 192.0.2.12:41003 10.0.0.2:80 0.000073 0.25 0.000057 404 404 12 1000 "HEAD http://www.example.com:80/x HTTP/1.0" "" - -
2026-11-21T00:00:00.000000Z legacy 192.0.2.12:41003 10.0.0.2:80 0.000073 0.5 0.000057 404 404 12 9223372036854775 "HEAD http://www.example.com:80/x HTTP/1.0" "日本" - -
"""


def lines():
    found = [{"request": f"GET {url} HTTP/1.1"} for url in URLS]
    found += [{"request": f"GET https://shop.example.com:443/e?e=n&n={value} HTTP/2.0"} for value in VALUES]
    found += [{"request": f"POST https://shop.example.com:443/e?e=t&t={value} HTTP/1.1"} for value in TIMES]
    found += [{"request": f"POST https://shop.example.com:443/e?e=d&d={value} HTTP/1.1"} for value in DATES]
    found += [{"request": f"POST https://shop.example.com:443/e?e=z&z={value} HTTP/1.1"} for value in ZONED_TIMES]
    found += [{"user_agent": agent} for agent in AGENTS]
    found += FIELDS
    return [DEFAULTS | odd | {"trace_id": f"L{number:03}"} for number, odd in enumerate(found)]


def text(fields):
    return " ".join(f'"{value}"' if name in QUOTED else value for name, value in fields.items())


def write(folder, beyond_bigint=True):
    """Writes two log files with alternating lines, so that their rows must be merged, and one of a Classic Load Balancer. Returns
    the number of lines of the two. `beyond_bigint` adds values whose sum exceeds bigint."""
    (Path(folder) / "alb").mkdir(parents=True)
    (Path(folder) / "elb").mkdir()
    name = "123456789012_elasticloadbalancing_us-east-2_legacy_20261120T1100Z_192.0.2.44_8091a2b3.log"
    Path(folder, "elb", name).write_text(CLASSIC_LINES.lstrip())
    written = [line for line in lines() if beyond_bigint or line["received_bytes"] != str(2**63 - 1)]
    for minute, part in [("05", written[::2]), ("10", written[1::2])]:
        name = f"123456789012_elasticloadbalancing_us-east-2_app.shop.50dc6c495c0c9188_20261120T10{minute}Z_10.0.1.7_a1b2c3d4.log.gz"
        with gzip.open(Path(folder, "alb", name), "wb") as file:
            file.write("".join(text(line) + "\n" for line in part).encode())
    return len(written)
