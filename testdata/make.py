#!/usr/bin/env python3
"""Writes the log files under testdata/ and the page that lists them, testdata/README.md.

    python3 testdata/make.py

Python 3.11, standard library only. The script always writes the same bytes: random numbers are seeded per
file, and the gzip framing is written here, without time and name. (zlib writes the deflate stream, so
another zlib may compress the same text to other bytes.)

All lines are invented, in the format of real logs. Names are invented, and addresses are from the ranges
for documentation.
"""

import json
import random
import re
import shutil
import struct
import zlib
from datetime import datetime, timedelta, timezone
from pathlib import Path

HERE = Path(__file__).resolve().parent

ACCOUNT = "123456789012"
REGION = "us-east-2"
KEYS = f"logs/AWSLogs/{ACCOUNT}/elasticloadbalancing/{REGION}"

SHOP = "app/shop/50dc6c495c0c9188"
EVENTS = "app/events/9f1b2a7c3d4e5f60"
EDGE = "net/edge/c6e77e28c25b2234"
LEGACY = "legacy"

CIPHER, PROTOCOL = "ECDHE-RSA-AES128-GCM-SHA256", "TLSv1.2"
CERTIFICATE = f"arn:aws:acm:{REGION}:{ACCOUNT}:certificate/11111111-2222-3333-4444-555555555555"

AGENTS = [
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_7 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.0 Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (X11; Linux x86_64; rv:144.0) Gecko/20100101 Firefox/144.0",
    "shop-app/4.12 (Android 16)",
    "curl/8.16.0",
    "-",
]

# The names of an access log line's fields, in the order of the log. The fields that AWS has added after field 34
# have no known names, and the last four represent future fields.
FIELDS = """
    type time elb client target request_processing_time target_processing_time response_processing_time
    elb_status_code target_status_code received_bytes sent_bytes request user_agent ssl_cipher ssl_protocol
    target_group_arn trace_id domain_name chosen_cert_arn matched_rule_priority request_creation_time
    actions_executed redirect_url error_reason target_port_list target_status_code_list classification
    classification_reason conn_trace_id transformed_host transformed_uri request_transform_status ip_address
    field_35 field_36 field_37 field_38 field_39 field_40
""".split()

QUOTED = set("""
    request user_agent trace_id domain_name chosen_cert_arn actions_executed redirect_url error_reason
    target_port_list target_status_code_list classification classification_reason transformed_host
    transformed_uri request_transform_status field_35 field_36 field_37 field_39
""".split())


# ---- one line ----------------------------------------------------------------------------------------------


def micros(at):
    return at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def millis(at):
    """Formats request_creation_time: with microseconds, of which the log knows only the milliseconds."""
    return at.strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond // 1000:03}000Z"


def at(text):
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S").replace(tzinfo=timezone.utc)


def hexes(rng, digits):
    return f"{rng.getrandbits(4 * digits):0{digits}x}"


def client(rng):
    return f"{rng.choice(['192.0.2', '198.51.100', '203.0.113'])}.{rng.randint(1, 254)}:{rng.randint(1024, 65535)}"


def access(rng, moment, fields=30, unquoted=(), **values):
    """One access log line of an Application Load Balancer, truncated to this number of `fields`."""
    line = access_values(rng, moment, **values)
    quoted = QUOTED - set(unquoted)
    return " ".join(f'"{line[name]}"' if name in quoted else str(line[name]) for name in FIELDS[:fields])


def access_values(rng, moment, **values):
    """The fields of an access log line. The defaults are a plain, successful request to the shop."""
    created = moment - timedelta(milliseconds=rng.randint(1, 90))
    target = values.get("target", f"10.0.{rng.randint(1, 3)}.{rng.randint(10, 40)}:8080")
    https = values.get("type", "https") not in ("http", "ws")
    line = {
        "type": "https",
        "time": micros(moment),
        "elb": SHOP,
        "client": client(rng),
        "target": target,
        "request_processing_time": f"{rng.choice([0, 0, 1, 2]) / 1000:.3f}",
        "target_processing_time": f"{min(9.9, rng.lognormvariate(-3.5, 1.0)):.3f}",
        "response_processing_time": f"{rng.choice([0, 0, 0, 1]) / 1000:.3f}",
        "elb_status_code": "200",
        "target_status_code": values.get("elb_status_code", "200"),
        "received_bytes": rng.randint(120, 900),
        "sent_bytes": rng.randint(200, 20000),
        "request": "GET https://shop.example.com:443/ HTTP/1.1",
        "user_agent": rng.choice(AGENTS),
        "ssl_cipher": CIPHER if https else "-",
        "ssl_protocol": PROTOCOL if https else "-",
        "target_group_arn": group("web"),
        "trace_id": f"Root=1-{int(created.timestamp()):08x}-{hexes(rng, 24)}",
        "domain_name": "shop.example.com" if https else "-",
        "chosen_cert_arn": CERTIFICATE if https else "-",
        "matched_rule_priority": "1",
        "request_creation_time": millis(created),
        "actions_executed": "forward",
        "redirect_url": "-",
        "error_reason": "-",
        "target_port_list": target,
        "target_status_code_list": values.get("target_status_code", values.get("elb_status_code", "200")),
        "classification": "-",
        "classification_reason": "-",
        "conn_trace_id": f"TID_{hexes(rng, 32)}",
        "transformed_host": "-",
        "transformed_uri": "-",
        "request_transform_status": "-",
        "ip_address": "10.0.1.7",
        "field_35": "-",
        "field_36": "-",
        "field_37": "not yet invented",
        "field_38": "7",
        "field_39": "-",
        "field_40": "-",
    }
    unknown = set(values) - set(line)
    assert not unknown, unknown
    line.update(values)
    return line


def group(name):
    known = {"web": "73e2d6bc24d8a067", "api": "a1c2e3f405162738", "images": "0011223344556677", "live": "89abcdef01234567"}
    return f"arn:aws:elasticloadbalancing:{REGION}:{ACCOUNT}:targetgroup/{name}/{known[name]}"


UNSERVED = {  # no target has seen the request
    "target": "-",
    "request_processing_time": "-1",
    "target_processing_time": "-1",
    "response_processing_time": "-1",
    "target_status_code": "-",
    "target_group_arn": "-",
    "target_port_list": "-",
}


def beacon(rng, time, query, fields=30, status="204", **values):
    """One event: a request to `/e` that the load balancer answers itself."""
    request = f"GET https://events.example.com:443/e?{query} HTTP/2.0"
    return access(rng, time, fields, **{
        **UNSERVED,
        "type": "h2",
        "elb": EVENTS,
        "elb_status_code": status,
        "sent_bytes": rng.randint(100, 180),
        "request": request,
        "domain_name": "events.example.com",
        "actions_executed": "fixed-response",
        **values,
    })


# ---- the parameters of events ------------------------------------------------------------------------------

COUNTRIES = ["DE", "DE", "DE", "US", "US", "FR", "IN", "BR", "JP", "KE"]


def parameters(rng):
    """The parameters of one ordinary event, in any order, some omitted.

    Amounts are multiples of a quarter, so that their sum does not depend on the order.
    """
    event = rng.choices(["view", "search", "signup", "purchase"], [6, 3, 1, 2])[0]
    given = [("e", event)]
    if rng.random() < 0.95:
        given.append(("uid", f"u{rng.randint(1, 60)}"))
    if rng.random() < 0.9:
        given.append(("c", rng.choice(COUNTRIES)))
    if event == "purchase":
        given.append(("amt", f"{rng.randint(4, 400) / 4:.2f}"))
    if event == "search":
        given.append(("q", rng.choice(["red+shoes", "caf%C3%A9", "50%25+off", "a%2Bb", "h%26m", "size%3D42"])))
    given.append(("p", rng.choice(["web", "ios", "android"])))
    if rng.random() < 0.5:
        rng.shuffle(given)
    return "&".join(f"{name}={value}" for name, value in given)


ODD_PARAMETERS = [
    "e=signup&uid=u42&c=DE&amt=12.50&p=web",
    "p=web&amt=12.50&c=DE&uid=u42&e=signup",
    "e=view&e=signup&uid=u1&uid=u2&c=DE",  # the first of two counts
    "e=&uid=&c=&amt=&p=",  # present, but empty
    "e&uid=u3&c=US",  # a name without `=` is the empty string, not NULL
    "uid=u4&c=US&p=web",  # not an event
    "E=view&uid=u5&c=US",  # names are case-sensitive
    "%65=view&uid=u6&c=US",  # names are compared without decoding
    "e=%76iew&uid=u%37&c=%44E",  # values are decoded: view, u7, DE
    "e=view&uid=u+8&c=DE",  # `+` is a space
    "e=search&uid=u9&c=DE&q=a=b=c",  # only the first `=` separates
    "e=search&uid=u10&c=DE&q=%E2%82%AC+5",
    "e=search&uid=u10&c=DE&q=%FF%FE",  # bytes that are not UTF-8
    "e=purchase&uid=u11&c=DE&amt=1e2",
    "e=purchase&uid=u11&c=DE&amt=-5.25",
    "e=purchase&uid=u11&c=DE&amt=%2B5.25",
    "e=purchase&uid=u11&c=DE&amt=+7.25",  # a space and 7.25
    "e=purchase&uid=u11&c=DE&amt=12,50",  # not a number
    "e=purchase&uid=u11&c=DE&amt=n%2Fa",
    "e=purchase&&uid=u12&c=DE&amt=3.00&",  # empty pairs
    "e=view&uid=u13&c=DE;p=web",  # `;` does not separate
    "e=view&uid=u14&c=DE#top&p=web",  # the query ends at `#`
    "e=view&uid={u15}&c=DE",  # not a URI: every url_ function gives NULL
    "e=view&uid=u|16&c=DE",
    "e=view&uid=u17&c=%zz",
    "e=view&uid=u18&c=D\\x22E",  # a quote, as the log writes it
    "e=search&uid=u19&c=DE&q=red shoes",  # a raw space
    "e=view&uid=u20&c=DE&p=a?b/c:d@e",  # all of it allowed in a query
    "e=view?e=signup&uid=u21&c=DE",
]


# ---- files -------------------------------------------------------------------------------------------------


def beacons(rng, start, count, seconds=300, **values):
    times = sorted(rng.uniform(0, seconds) for _ in range(count))
    lines = []
    for offset in times:
        status = rng.choices(["204", "200", "400", "503"], [85, 11, 3, 1])[0]
        lines.append(beacon(rng, start + timedelta(seconds=offset), parameters(rng), status=status, **values))
    return lines


def pages(rng, start, count, seconds=300, **values):
    """Requests of people and programs to the shop, for three target groups of different speed."""
    routes = [
        ("web", "GET", "/", 0.02),
        ("web", "GET", "/products/1042?color=red&size=42", 0.03),
        ("web", "GET", "/search?q=red+shoes&page=2", 0.12),
        ("api", "GET", "/api/v1/carts/7f3a", 0.01),
        ("api", "POST", "/api/v1/orders", 0.25),
        ("api", "PUT", "/api/v1/carts/7f3a/items/3", 0.04),
        ("api", "DELETE", "/api/v1/carts/7f3a/items/3", 0.04),
        ("images", "GET", "/img/1042.webp", 0.003),
        ("images", "HEAD", "/img/missing.webp", 0.002),
    ]
    times = sorted(rng.uniform(0, seconds) for _ in range(count))
    lines = []
    for offset in times:
        name, verb, path, seconds_usual = rng.choice(routes)
        status = "404" if "missing" in path else rng.choices(["200", "302", "403", "500"], [90, 4, 3, 3])[0]
        took = seconds_usual * rng.lognormvariate(0, 0.8)
        lines.append(access(
            rng,
            start + timedelta(seconds=offset),
            **{
                "target_group_arn": group(name),
                "target_processing_time": f"{took:.3f}",
                "elb_status_code": status,
                "request": f"{verb} https://shop.example.com:443{path} HTTP/1.1",
                "matched_rule_priority": {"web": "0", "api": "10", "images": "20"}[name],
                **values,
            },
        ))
    return lines


def answered_by_the_balancer(rng, start):
    """Requests that failed, or never reached a target."""
    shop = "https://shop.example.com:443"
    timed_out = dict(request_processing_time="-1", target_processing_time="-1", response_processing_time="-1",
                     target_status_code="-", target_status_code_list="-")
    waited = dict(target_processing_time="-1", response_processing_time="-1",
                  target_status_code="-", target_status_code_list="-")
    cases = [
        dict(timed_out, elb_status_code="460", sent_bytes=0),
        dict(timed_out, elb_status_code="504", request=f"POST {shop}/api/v1/orders HTTP/1.1"),
        dict(waited, elb_status_code="504", request_processing_time="0.001"),
        dict(waited, elb_status_code="502", request_processing_time="0.000"),
        dict(UNSERVED, elb_status_code="503", target_group_arn=group("api")),
        dict(UNSERVED, elb_status_code="463", request=f"GET {shop}/ HTTP/1.1"),
        dict(UNSERVED, elb_status_code="464", request=f"POST {shop}/grpc.health.v1.Health/Check HTTP/1.1"),
        dict(UNSERVED, elb_status_code="561", actions_executed="authenticate", error_reason="AuthInvalidIdToken"),
        dict(UNSERVED, elb_status_code="403", actions_executed="waf", matched_rule_priority="0"),
        dict(UNSERVED, elb_status_code="500", actions_executed="waf-failed"),
        dict(UNSERVED, type="http", elb_status_code="301", actions_executed="redirect",
             request="GET http://shop.example.com:80/sale?x=1 HTTP/1.1", redirect_url=f"{shop}/sale?x=1"),
        dict(UNSERVED, type="http", elb_status_code="301", actions_executed="redirect",
             request="GET http://192.0.2.80:80/shell?cd+/tmp; rm+-rf+* HTTP/1.1",
             redirect_url="https://192.0.2.80:443/shell?cd+/tmp; rm+-rf+*",
             classification="Acceptable", classification_reason="SpaceInUri"),
        dict(UNSERVED, elb_status_code="200", actions_executed="fixed-response"),
        dict(actions_executed="waf,authenticate,forward", matched_rule_priority="5"),
        # A Lambda function is a target without an address.
        dict(target="-", target_status_code="200", target_port_list="-", target_status_code_list="-"),
        dict(target="-", elb_status_code="502", target_status_code="-", target_port_list="-",
             target_status_code_list="-", error_reason="LambdaInvalidResponse"),
        dict(UNSERVED, elb_status_code="-", matched_rule_priority="-1"),
        dict(UNSERVED, type="http", elb_status_code="400", classification="Severe",
             classification_reason="BadContentLength", request="POST http://shop.example.com:80/ HTTP/1.1"),
    ]
    return [access(rng, start + timedelta(seconds=7 * i), **case) for i, case in enumerate(cases)]


LENGTHS = [12, 17, 25, 27, 29, 30, 33, 34, 36, 40]


def lengths(rng, start):
    """Lines of all lengths. The log format has grown over the years, and a file may mix the lines of two versions."""
    lines = []
    for i, fields in enumerate(LENGTHS * 2):
        time = start + timedelta(seconds=5 * i)
        if i % 2:
            lines.append(beacon(rng, time, f"e=view&uid=u{fields}&c=DE&p=web", fields=fields))
        else:
            lines.append(access(rng, time, fields=fields))
    time = start + timedelta(seconds=200)
    lines.append(access(rng, time, fields=34, request="GET https://shop.example.com:443/old/1 HTTP/1.1",
                        transformed_host="shop.internal.example", transformed_uri="/new/1",
                        request_transform_status="TransformSucceeded"))
    return lines


def addresses(rng, start):
    """IPv6 as the log writes it (the port after the last colon) and in brackets."""
    bare, bracketed = "2001:db8:7:1::face:50599", "[2001:db8:7:1::face]:50599"
    target, target_bracketed = "2001:db8:9::10:8080", "[2001:db8:9::10]:8080"
    cases = [
        dict(client=bare),
        dict(client=bare, target=target),
        dict(client="2001:db8:0:0:0:0:0:1:443", target=target),
        dict(client=bracketed),
        dict(client=bracketed, target=target_bracketed),
        dict(client="[::ffff:192.0.2.9]:51000"),
        dict(UNSERVED, client=bare, elb_status_code="503"),
        dict(request="GET https://[2001:db8:7::1]:443/?x=1 HTTP/1.1", domain_name="-"),
    ]
    return [access(rng, start + timedelta(seconds=11 * i), **case) for i, case in enumerate(cases)]


def requests(rng, start):
    """Requests that are not simply `verb url protocol`, and unquoted lists."""
    shop = "https://shop.example.com:443"
    bad = dict(UNSERVED, type="http", elb_status_code="400", matched_rule_priority="-", actions_executed="-")
    lists = ("target_port_list", "target_status_code_list")
    cases = [
        dict(request=f"GET {shop}/red shoes/42 and more?q=a b HTTP/1.1"),
        dict(request=f"GET {shop}/trailing  HTTP/1.1"),
        dict(request=f"GET {shop}/?q=say+\\x22hello\\x22 HTTP/1.1"),
        dict(request=f"GET {shop}/?path=C:\\x5Ctemp\\x5C HTTP/1.1"),
        dict(user_agent="bot \\x22the best\\x22 (+https://bot.example)"),
        dict(user_agent="an escaped \\\" quote and a \\\\ backslash"),
        dict(user_agent="-"),
        dict(user_agent="x" * 8000),
        dict(bad, request="- http://shop.example.com:80- -", user_agent="-", trace_id="-"),
        dict(bad, request="- - - ", user_agent="-", trace_id="-"),
        dict(bad, request="-", user_agent="-", trace_id="-"),
        dict(bad, request="GET http://shop.example.com:80/cgi-bin/login.cgi HTTP/1.1"),
        dict(bad, request="PROPFIND http://shop.example.com:80/ HTTP/1.1"),
        dict(request=f"CONNECT {shop} HTTP/1.1"),
        dict(request=f"GET {shop}/{{id}}?x=a|b HTTP/1.1"),
        dict(request=f"GET {shop}/caf%C3%A9?n=a+b HTTP/1.1"),
        dict(request=f"GET {shop}/caf\\xC3\\xA9 HTTP/1.1"),
        dict(request="GET https://my_host:443/p?x=1 HTTP/1.1"),
        dict(unquoted=lists, target="10.0.1.11:8080"),
        dict(unquoted=lists, **dict(UNSERVED, elb_status_code="503", target_status_code_list="-")),
        dict(target_port_list="10.0.1.11:8080 10.0.1.12:8080", target_status_code_list="502 200"),
        dict(type="ws", elb_status_code="101", request="GET http://shop.example.com:80/live HTTP/1.1",
             target_group_arn=group("live"), target_processing_time="0.003", sent_bytes=5_000_000_000),
        dict(type="wss", elb_status_code="101", request=f"GET {shop}/live HTTP/1.1", target_group_arn=group("live"),
             request_creation_time="2026-11-20T10:41:07.112000Z"),
        dict(type="grpcs", request=f"POST {shop}/shop.v1.Cart/Add HTTP/2.0", target_group_arn=group("api")),
        dict(type="h2", request=f"GET {shop}/ HTTP/2.0"),
        dict(type="h3", request=f"GET {shop}/ HTTP/3.0"),  # a type that AWS's guide does not list
    ]
    return [access(rng, start + timedelta(seconds=9 * i), **case) for i, case in enumerate(cases)]


def bytes_beyond_ascii(rng, start):
    lines = [
        access(rng, start, request="GET https://shop.example.com:443/é?x=ü HTTP/1.1").encode(),
        access(rng, start, user_agent="Läden-App/1.0 (日本語; 🛒)").encode(),
        beacon(rng, start, "e=search&uid=u70&c=DE&q=größe").encode(),
        # Not UTF-8: a Latin-1 é, a byte that never occurs in UTF-8, a character cut in the middle.
        access(rng, start, request="GET https://shop.example.com:443/caf\udce9 HTTP/1.1").encode(errors="surrogateescape"),
        access(rng, start, user_agent="bot\udcff\udcfe").encode(errors="surrogateescape"),
        beacon(rng, start, "e=search&uid=u71&c=DE&q=\udce2\udc82").encode(errors="surrogateescape"),
        access(rng, start, user_agent="tab\tand\x01control").encode(),
    ]
    return lines


def no_log_lines(rng, start):
    """Lines that are rejected, between lines that look similar and are valid."""
    def good(seconds, **values):
        return access(rng, start + timedelta(seconds=seconds), **values)

    whole = good(50)
    return [
        good(1),
        "<html>",
        "<head><title>503 Service Temporarily Unavailable</title></head>",
        "<body>The store is closed. Please come back later, or write to us, or to anybody else.</body></html>",
        good(2),
        "",
        "https 2026-11-20T12:10:09.000000Z app/shop/50dc6c495c0c9188 192.0.2.1:1024 - -1 -1",
        " ".join(whole.split(" ")[:11]),  # cut one field too early
        " ".join(whole.split(" ")[:9]) + " 20",
        good(3, time="2026-13-41T12:10:03.000000Z"),
        good(4, time="-"),
        good(5, time="1795176605.123"),
        good(6, time="[20/Nov/2026:12:10:06 +0000]"),
        good(7, time="yesterday"),
        # The following are log lines.
        whole[: whole.index("shop.example.com") + 4],  # cut in the request: the quote is never closed
        good(8, elb_status_code="abc", received_bytes="many", sent_bytes="-", request_processing_time="fast"),
        good(9, client="-", target="nowhere", type="?"),
        good(10, client="192.0.2.77:http", target_processing_time="1.5e-2"),
        good(11, time="2026-11-20T12:10:11Z"),
        good(12, time="2026-11-20T13:10:12.250+01:00"),
        good(13, request="", user_agent=""),
        good(14),
    ]


def classic(rng, start):
    """Lines of a Classic Load Balancer: HTTP, TCP, and lines from before 2015 with 12 fields."""

    def one(seconds, backend="10.0.1.21:80", times="0.000073 0.001048 0.000057", status="200 200", sizes="0 29",
            request="GET http://legacy.example.com:80/ HTTP/1.1", rest='"curl/8.16.0" - -'):
        head = f'{micros(start + timedelta(seconds=seconds))} {LEGACY} {client(rng)} {backend} {times} {status} {sizes}'
        return f'{head} "{request}"' + (f" {rest}" if rest else "")

    return [
        one(1),
        one(61, request="GET https://legacy.example.com:443/a?x=1 HTTP/1.1", sizes="0 57",
            rest='"Mozilla/5.0 (X11; Linux x86_64; rv:144.0) Gecko/20100101 Firefox/144.0" DHE-RSA-AES128-SHA TLSv1.2'),
        one(122, request="POST http://legacy.example.com:80/form with space HTTP/1.1", sizes="812 302", status="302 302"),
        one(183, rest=None),
        one(244, rest=None, backend="-", times="-1 -1 -1", status="408 -", sizes="1294336 0",
            request="PUT https://legacy.example.com:443/upload HTTP/1.1"),
        one(305, backend="-", times="-1 -1 -1", status="503 0", rest='"-" - -'),
        one(366, backend="-", times="0.000082 -1 -1", status="504 0", rest='"-" - -'),
        one(427, request="- - - ", status="- -", sizes="82 305", times="0.001069 0.000028 0.000041", rest='"-" - -'),
        one(488, request="- - - ", status="- -", sizes="57 502", times="0.001065 0.000015 0.000023",
            rest='"-" ECDHE-ECDSA-AES128-GCM-SHA256 TLSv1.2'),
        one(549, request="GET http://legacy.example.com:80/?e=view&uid=u80&c=DE HTTP/1.0", rest='"say \\x22hi\\x22" - -'),
        "service unavailable",
        one(610).replace("2026-11-20T", "20/Nov/2026:"),
    ]


# The shapes of the next three kinds of lines follow AWS's guides for Application and Network Load Balancers, and lines that
# other projects test their parsers with: elastic/beats and elastic/integrations (addresses masked by X, lists with
# backslashes, lines without the newest fields), open-telemetry/opentelemetry-collector-contrib (lines with too few
# fields), dynatrace-oss/dynatrace-aws-s3-log-forwarder and hardik-aws/ctaudit (15 fields of a connection).


VALIDITY = "NotBefore=2025-09-21T22:43:21Z;NotAfter=2028-06-17T22:43:21Z"
TLS_13 = "TLSv1.3 TLS_AES_128_GCM_SHA256"
FAILED_CERTIFICATES = """
    ClientCertMaxChainDepthExceeded ClientCertMaxSizeExceeded ClientCertCrlHit ClientCertCrlProcessingError ClientCertUntrusted
    ClientCertNotYetValid ClientCertExpired ClientCertTypeUnsupported ClientCertInvalid ClientCertPurposeInvalid
    ClientCertRejected ClientCertIncompatible
""".split()


def connections(rng, start):
    """An application balancer's connection log. Older lines end before the trace id, newer ones after the node's address."""

    def one(seconds, tls=f"{PROTOCOL} {CIPHER} 0.036", certificate='"-" - - -', port=443, tail=None, address=None, time=None):
        tail = f" TID_{hexes(rng, 32)}" if tail is None else tail
        from_address, _, from_port = client(rng).rpartition(":")
        time = time or micros(start + timedelta(seconds=seconds))
        return f"{time} {address or f'{from_address} {from_port}'} {port} {tls} {certificate}{tail}"

    def presented(subject='"CN=client.example.com,O=Example, Inc.,L=Springfield,C=US"', serial="FEF257372D5C14D4", verified="Success"):
        return f"{subject} {VALIDITY} {serial} {verified}"

    def newest(key_exchange="X25519MLKEM768", more=""):
        return f" TID_{hexes(rng, 32)} {key_exchange} {SHOP} 10.0.1.7{more}"

    lines = [
        one(1),
        one(2, tls=f"{TLS_13} 0.012"),
        one(3, certificate=presented()),
        one(4, certificate=presented(verified="Failed:ClientCertUntrusted"), tls=f"{PROTOCOL} {CIPHER} -"),
        one(5, tls="- - -", port=80),
        one(6, tls="- - -", certificate='"-" - - Failed:UnmappedConnectionError'),
        one(7, tail=""),
        one(8, tls=f"{TLS_13} 0.009", tail=f" TID_{hexes(rng, 32)} X25519MLKEM768"),
        # Of 13 to 17 fields. A `-` may come before a new field has values.
        one(9, tail=f" TID_{hexes(rng, 32)} -"),
        one(10, tail=f" TID_{hexes(rng, 16)} secp256r1 {SHOP}"),
        one(11, tls=f"{TLS_13} 0.337", tail=newest()),
        one(12, tls="- - -", port=80, tail=newest("-")),
        one(13, tail=newest("secp384r1", " -")),
        one(14, certificate=presented(), tail=newest("x25519", ' - "two words"')),
        # Certificates and their subjects.
        one(20, certificate='"-" - - Success', tail=newest()),
        one(21, certificate="- - - Success"),
        one(22, certificate=presented(subject='""')),
        one(23, certificate=presented(subject='"serialNumber=ID-42,GN=MARI,SN=N\\\\C3\\\\84SS,CN=N\\\\C3\\\\84SS\\\\,MARI,C=EE"')),
        one(24, certificate=presented(subject='"CN=Näss,O=例,C=JP"')),
        one(25, certificate=presented(subject='"CN=a\\x22b,C=US"')),
        one(26, certificate=presented(subject='"CN=client,O=\\"Example\\" Ltd,C=EE"')),
        one(27, certificate=presented(serial="7" + 39 * "F", verified='"Failed:ClientCertExpired"'), tls=f"{TLS_13} -"),
        one(28, certificate='"CN=client" NotBefore=2025-09-21T22:43:21Z 02 Success'),
        # Addresses, ports and latencies.
        one(40, address="2001:db8:7:1::face 50599", tail=newest()),
        one(41, address="[2001:db8:7:1::face] 50599"),
        one(42, address="- -", port="-"),
        one(43, address="XXX.XX.XXX.XX XXXXX"),
        one(44, address="192.0.2.7 65536", port=8443),
        one(45, tls=f"{PROTOCOL} {CIPHER} 0.000"),
        one(46, tls=f"{PROTOCOL} {CIPHER} 12.345"),
        one(47, tls=f"{PROTOCOL} {CIPHER} -1"),
        one(48, tls=f"{PROTOCOL} {CIPHER} soon"),
        # Times in other forms.
        one(0, time="2026-11-20T10:00:49Z"),
        one(0, time="2026-11-20T12:00:50.5+02:00"),
        one(0, time="2026-11-20T10:00:51"),
        # The last line has as few fields as a log line may have, and the first of these too few.
        " ".join(one(60).split(" ")[:6]),
        one(61, time="-"),
        one(62, time="20/Nov/2026:10:01:02"),
        "",
        "<html><body>The store is closed. Please come back later, or write to us.</body></html>",
        " ".join(one(63).split(" ")[:7]),
    ]
    codes = enumerate(FAILED_CERTIFICATES)
    return lines + [
        one(100 + n, certificate=presented(verified=f"Failed:{code}"), tls=f"{TLS_13} -", tail=newest()) for n, code in codes
    ]


def network(rng, start):
    """A network balancer's log of TLS connections: version 1.0, 2.0, and 2.0 with newer fields at the end."""

    def one(seconds, version="2.0", times="5 2", sizes="98 246", alert="-", tls=f"{CIPHER} tlsv12 -",
            names="edge.example.com h2 h2 \"h2\",\"http/1.1\"", certificate=CERTIFICATE, created=True, tail="",
            kind="tls", ends=None, time=None):
        at_time = start + timedelta(seconds=seconds)
        time = time or f"{at_time:%Y-%m-%dT%H:%M:%S}"
        created_at = at_time - timedelta(seconds=6)
        ends = ends or f"{client(rng)} 10.0.2.15:8443"
        line = (f"{kind} {version} {time} {EDGE} 3b8d2f0a1c4e5d6f {ends} {times} {sizes} "
                f"{alert} {certificate} - {tls} {names}")
        return line + (f" {created_at:%Y-%m-%dT%H:%M:%S}{tail}" if created else "")

    unnamed = "edge.example.com - - -"
    failed = dict(times="31 -", sizes="0 0", tls="- - -", names=unnamed)
    many = ",".join(f'"proto-{n:02}"' for n in range(30))
    return [
        one(1, version="1.0", names="edge.example.com", created=False),
        one(2, names=unnamed, created=False),
        one(3),
        one(4, names='edge.example.com http/1.1 http/1.1 \\"http/1.1\\"'),
        one(5, times="0 -", sizes="0 0", tls="- - -", names="- - - -", certificate="-"),
        one(6, alert="42", times="108 65"),
        one(7, tls="TLS_AES_128_GCM_SHA256 tlsv13 -", tail=" X25519MLKEM768"),
        one(8, names="xn--bcher-kva.example%20x - - -"),
        # The protocols that the client offers: a list, encoded, with a comma inside, cut after 256 bytes, one word.
        one(10, names='edge.example.com http/1.1 http/1.1 "h2","http/1.1","http/1.0"'),
        one(11, names='edge.example.com - - "spdy%2F3.1","a%20b","h2%22"'),
        one(12, names='edge.example.com - - "h2,h2"'),
        one(13, names=f"edge.example.com - - {many[:256]}"),
        one(14, names="edge.example.com h2 - h2"),
        one(15, names='edge.example.com h2 h2 ""'),
        # Handshakes that failed, and key exchanges.
        one(20, alert="48", **failed),
        one(21, alert="70", **failed),
        one(22, alert="0", certificate="-", **failed),
        one(23, tls="TLS_AES_128_GCM_SHA256 tlsv13 X25519MLKEM768"),
        one(24, tls="ECDHE-RSA-AES128-SHA tlsv11 secp256r1"),
        # Addresses.
        one(30, ends="2001:db8:7:1::face:51341 2001:db8:9::10:443"),
        one(31, ends="[2001:db8:7:1::face]:51341 [2001:db8:9::10]:443"),
        one(32, ends="XX.XXX.X.XXXX:XXXXX XX.XXX.XXX.XX:XXX", times="1 -", sizes="0 0", tls="- - -", names="- - - -", certificate="-"),
        one(33, ends="- -"),
        one(34, ends="192.0.2.7: 10.0.2.15:-"),
        one(35, ends="192.0.2.7 54321 10.0.2.15 443"),  # 24 fields: address and port apart
        # Numbers.
        one(40, times="86400123 12", sizes="5368709120 9223372036854775807"),
        one(41, sizes="9223372036854775808 246"),
        one(42, times="5.25 1.5"),
        one(43, times="- -", sizes="- -"),
        one(44, times="fast soon", sizes="many few", alert="none"),
        # Times in other forms, other versions and types, names that nobody should have.
        one(0, time="2026-11-20T10:00:50.123456Z"),
        one(0, time="2026-11-20T10:00:51Z"),
        one(0, time="2026-11-20T11:00:52+01:00"),
        one(53, version="3.0"),
        one(54, kind="quic"),
        one(55, names="%E4%BE%8B.example - - -"),
        one(56, names="[edge.example.com](https://edge.example.com/) http/1.1 http/1.1 -"),
        # Newer fields.
        one(60, tail=" -"),
        one(61, tail=' - TID_0123456789abcdef "two words"'),
        # Not log lines: too few fields, no time.
        " ".join(one(70).split(" ")[:10]),
        " ".join(one(71).split(" ")[:3]),
        one(72, time="-"),
        one(73, time="1795176605"),
        "",
        "<html><body>The store is closed. Please come back later, or write to us.</body></html>",
        " ".join(one(74).split(" ")[:11]),  # as few fields as a log line may have
    ]


FAILED_CHECKS = [
    ("http", "5.000123456", "-", "TimedOut"),
    ("http", "5.000123456", "-", "RequestTimedOut"),
    ("https", "5.000123456", "-", "ConnectionTimedOut"),
    ("http", "0.000512345", "-", "ConnectionReset"),
    ("http", "0.004", "404", "ResponseCodeMismatch"),
    ("h2", "0.004", "200", "ResponseStringMismatch"),
    ("http", "-", "-", "InternalError"),
    ("http", "1.121980746", "503", "TargetError"),
    ("https", "0.01", "-", "ClientCertTypeUnsupported"),
    ("grpc", "0.019584011", "-", "GRPCStatusHeaderEmpty"),
    ("grpc", "0.019584011", "12", "GRPCUnexpectedStatus"),
]


def health_checks(rng, start):
    """An application balancer's log of health checks. AWS's examples have 8 fields, and its list of fields has 10."""

    def one(seconds, kind="http", latency=None, target="10.0.3.20:8080", group_name="shop-web", result="PASS 200 -",
            tail=f" {SHOP} 10.0.1.7", time=None):
        latency = latency or f"{rng.lognormvariate(-4, 0.5):.9f}"
        time = time or micros(start + timedelta(seconds=seconds))
        return f"{kind} {time} {latency} {target} {group_name} {result}{tail}"

    lambda_function = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:health"
    lines = [
        one(1, tail=""),
        one(2, tail="", result="FAIL 502 TargetError", latency="1.121980746"),
        one(3),
        one(4, kind="https"),
        one(5, kind="h2"),
        one(6, kind="grpc", result="PASS 0 -"),
        one(7, kind="lambda", target=lambda_function),
        one(8, kind="lambda", target=f"{lambda_function}:live", result="FAIL 502 TargetError"),
        one(9, kind="tcp", result="PASS - -"),
        # Of 9 to 12 fields.
        one(10, tail=" -"),
        one(11, tail=f" {SHOP}"),
        one(12, tail=f" {SHOP} 10.0.1.7 -"),
        one(13, tail=f' {SHOP} 10.0.1.7 - "two words"'),
        one(14, tail=f" {SHOP} 2001:db8::7"),
        # Targets.
        one(20, target="[2001:db8:9::20]:8080"),
        one(21, target="2001:db8:9::20:8080"),
        one(22, target="-"),
        one(23, target="i-0123456789abcdef0:80"),
        one(24, group_name="-"),
        # Latencies.
        one(30, latency="0"),
        one(31, latency="120.000000001"),
        one(32, latency="1.2E-4"),
        one(33, latency="-1"),
        one(34, latency="slow"),
        # Results that nobody has announced.
        one(40, result="pass 200 -"),
        one(41, result="UNKNOWN 200 SomethingNew"),
        one(42, result="FAIL 301 ResponseCodeMismatch"),
        one(43, result='"PASS" "200" "-"'),
        # Times in other forms.
        one(0, time="2026-11-20T10:00:50Z"),
        one(0, time="2026-11-20T11:00:51.5+01:00"),
        one(0, time="2026-11-20T10:00:52"),
        # Not log lines: too few fields, no time.
        " ".join(one(60).split(" ")[:5]),
        one(61, time="-"),
        one(62, time="now"),
        "",
        "<html><body>The store is closed. Please come back later, or write to us.</body></html>",
        " ".join(one(63).split(" ")[:6]),  # as few fields as a log line may have
        " ".join(one(64).split(" ")[:7]),
    ]
    checks = enumerate(FAILED_CHECKS)
    return lines + [
        one(70 + n, kind=kind, latency=latency, result=f"FAIL {status} {reason}") for n, (kind, latency, status, reason) in checks
    ]


# ---- deliveries through CloudWatch Logs --------------------------------------------------------------------

# The names that AWS documents for deliveries, where they are not those of FIELDS.
DELIVERED_NAMES = {"client": "client_port", "target": "target_port", "request": "request_line"}
DELIVERED = {name: DELIVERED_NAMES.get(name, name) for name in FIELDS[:34]}

# AWS does not say whether it writes these as numbers or as texts, so the file has both.
WHOLE = ["elb_status_code", "target_status_code", "received_bytes", "sent_bytes", "matched_rule_priority"]
FRACTIONS = ["request_processing_time", "target_processing_time", "response_processing_time"]


def delivered(rng, moment, **values):
    """An access log line as a delivery names its fields."""
    line = access_values(rng, moment, **values)
    return {name: str(line[field]) for field, name in DELIVERED.items()}


def ordinary_deliveries(rng, start, count):
    """Pages and events, as deliveries."""
    requests = [
        dict(request="GET https://shop.example.com:443/products/1042?color=red&size=42 HTTP/1.1"),
        dict(request="POST https://shop.example.com:443/api/v1/orders HTTP/2.0", target_group_arn=group("api"), type="h2"),
        dict(UNSERVED, elb=EVENTS, request=f"GET https://events.example.com:443/e?{parameters(rng)} HTTP/2.0", elb_status_code="204"),
        dict(UNSERVED, elb_status_code="503", target_group_arn=group("api")),
    ]
    return [delivered(rng, start + timedelta(seconds=5 * n), **requests[n % len(requests)]) for n in range(count)]


def json_lines(rng, start):
    """Access log lines as JSON objects: any field, in any order, as texts and as numbers."""

    def one(seconds, without=(), more=None, **values):
        line = delivered(rng, start + timedelta(seconds=seconds)) | values
        return {name: value for name, value in line.items() if name not in without} | (more or {})

    def written(line, **options):
        return json.dumps(line, separators=(",", ":"), **{"ensure_ascii": False, **options})

    def as_numbers(line):
        found = {name: int(line[name]) for name in WHOLE if line[name].lstrip("-").isdigit()}
        return line | found | {name: float(line[name]) for name in FRACTIONS}

    lines = [written(line) for line in ordinary_deliveries(rng, start, 8)]
    lines += [written(as_numbers(line)) for line in ordinary_deliveries(rng, start + timedelta(seconds=2), 8)]
    absent = [name for name in DELIVERED.values() if name not in ("time", "elb_status_code", "request_line")]
    agent = 'an "app" \\ é 日本語 🛒 \\x22\ttab'
    lines += [
        # What is missing: `-`, null, an empty text, and no member at all.
        written(one(50, target_port="-", target_status_code="-", user_agent="-")),
        written(one(51, target_port=None, target_status_code=None, user_agent=None, elb_status_code=None, sent_bytes=None)),
        written(one(52, target_port="", target_status_code="", user_agent="", elb_status_code="", sent_bytes="")),
        written(one(53, without=absent)),
        written(dict(reversed(one(54).items()))),
        # Lists, and values of other types.
        written(one(55, actions_executed=["waf", "forward"], target_port_list=["10.0.1.11:8080", "10.0.1.12:8080"],
                    target_status_code_list=[502, 200])),
        written(one(56, classification=True, matched_rule_priority=-1)),
        written(one(57, elb_status_code="abc", received_bytes=1.5, sent_bytes=9223372036854775808, request_processing_time="fast")),
        # The fields whose names say that they are ports.
        written(one(58, client_port="50599", target_port=8080)),
        written(one(59, client_port="2001:db8:7:1::face:50599", target_port="[2001:db8:9::10]:8080")),
        # Escapes. Quotes are part of the text.
        written(one(60, user_agent=agent)),
        written(one(61, user_agent=agent), ensure_ascii=True),
        written(one(62, user_agent='"in quotes"', request_line="GET https://shop.example.com:443/red shoes?q=a b HTTP/1.1")),
        written(one(63)).replace("/", "\\/"),
        written(one(64, request_line="-", elb_status_code=400)),
        # Fields that are not documented.
        written(one(65, more={"field_35": "-", "field_36": 7, "field_37": None})),
        written(one(66, more={"of 2030": {"a": [1, "x"], "b": {}}, "level": True})),
        " " + written(one(67)).replace(":", ": ", 1) + " ",
        # Not log lines: no object, no field, no time.
        "",
        "<html><body>The store is closed. Please come back later, or write to us.</body></html>",
        access(rng, start + timedelta(seconds=70)),
        "{}",
        "[1]",
        "null",
        '{"level":"info","message":"a line of an application"}',
        written(one(71))[:200],
        written(one(72)) + written(one(72)),
        written(one(73, time="-")),
        written(one(74, time=None)),
        written(one(75, time=1795176605.123)),
        written(one(76)),
    ]
    return lines


def w3c_lines(rng, start):
    """Access log lines between `#Fields:` lines, which may change the fields and what separates them."""

    def row(separator, line, names):
        return separator.join(str(line.get(name, "-")) for name in names)

    def quoted(line):
        return {name: f'"{value}"' if name in ("request_line", "user_agent") else value for name, value in line.items()}

    def one(seconds, **values):
        return delivered(rng, start + timedelta(seconds=seconds)) | values

    every, tab = list(DELIVERED.values()), "\t"
    lines = ["#Version: 1.0", f"#Fields: {' '.join(every)}"]
    lines += [row(tab, line, every) for line in ordinary_deliveries(rng, start, 12)]
    whole = row(tab, one(61), every)
    lines += [
        row(tab, one(62, user_agent="bot \\x22the best\\x22 (+https://bot.example)", domain_name=""), every),
        row(tab, one(63, client_port="2001:db8:7:1::face:50599", target_port="-"), every),
        row(tab, one(64, client_port="50599", elb_status_code="abc"), every),
        row(tab, one(65, request_line="GET https://shop.example.com:443/red shoes?q=a b HTTP/1.1"), every),
        f"{whole}{tab}-{tab}two words",  # newer fields
        "#Remark: not a line of the log",
        # Not log lines: too few values, no time.
        whole.rpartition(tab)[0],
        "",
        "service unavailable",
        row(tab, one(66, time="-"), every),
    ]
    chosen = ["time", "elb_status_code", "x-new", "request_line", "user_agent"]
    lines += ["#Version: 1.0", f"#Fields: {' '.join(chosen)}"]
    lines += [row(" ", quoted(line), chosen) for line in ordinary_deliveries(rng, start + timedelta(seconds=100), 4)]
    lines += [row(" ", quoted(one(121, user_agent='an escaped \\" quote')), chosen), "2026-11-21T08:12:02Z 200"]
    chosen = ["user_agent", "client_port", "time", "elb", "target_status_code_list"]
    lines += [f"#Fields: {','.join(chosen)}"]
    lines += [row(",", quoted(one(130 + n, user_agent=agent)), chosen) for n, agent in enumerate(["curl/8.16.0", "a, b; like c", ""])]
    return lines


# ---- framing -----------------------------------------------------------------------------------------------


def text(lines, end="\n", last_end=True):
    """The lines as one text; bytes are not encoded."""
    encoded = [line if isinstance(line, bytes) else line.encode() for line in lines]
    joined = end.encode().join(encoded)
    return joined + end.encode() if encoded and last_end else joined


def gzip(plain, members=1):
    """A gzip file of one or several members, which are cut anywhere in lines."""
    size = max(1, -(-len(plain) // members))
    parts = [plain[start:start + size] for start in range(0, len(plain), size)] or [b""]
    return b"".join(member(part) for part in parts)


def member(plain):
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = deflate.compress(plain) + deflate.flush()
    return b"\x1f\x8b\x08\0\0\0\0\0\x02\xff" + packed + struct.pack("<II", zlib.crc32(plain), len(plain))


def truncated(whole):
    return whole[: len(whole) // 2]


def corrupt(whole):
    """Changes one byte of the deflate stream so that inflating fails, instead of giving other text."""
    for position in range(len(whole) // 2, len(whole) - 8):
        broken = bytearray(whole)
        broken[position] ^= 0xFF
        inflate = zlib.decompressobj(-15)
        try:
            inflate.decompress(bytes(broken[10:-8]))
        except zlib.error:
            return bytes(broken)
    raise AssertionError("no byte breaks the stream")


def bad_crc(whole):
    return whole[:-8] + bytes([whole[-8] ^ 0xFF]) + whole[-7:]


def trailing_garbage(whole):
    return whole + b"this is not gzip\n"


# ---- the page that lists the files -------------------------------------------------------------------------

ISO = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)?")
# The minimum number of fields of a text log's line of this kind, and the index of its time.
FEWEST_AND_TIME = {"access": (12, 1), "classic": (12, 0), "connection": (7, 0), "health": (6, 1), "network": (11, 2)}
FIELD = re.compile(rb'"(?:\\.|[^"\\])*"?|[^ ]+')


def is_log_line(line, kind):
    """Whether the line of a text log has enough fields, and a time."""
    fewest, time = FEWEST_AND_TIME[kind]
    fields = line.split(b" ") if kind == "network" else FIELD.findall(line)
    return len(fields) >= fewest and is_time(fields[time])


def is_json_line(line):
    """Whether it is an object with a field of access logs, of which the time is one, if it is there."""
    try:
        members = json.loads(line)
    except ValueError:
        return False
    if not isinstance(members, dict) or not set(members) & set(DELIVERED.values()):
        return False
    return "time" not in members or is_time(str(members["time"]).encode())


def is_time(field):
    if not ISO.fullmatch(field):
        return False
    try:
        datetime.fromisoformat(field.decode())
    except ValueError:
        return False
    return True


def are_w3c_lines(lines):
    """Says of each line of a W3C log whether it is a log line. Its directives are no lines of the log."""
    names, separator = [], None
    for line in lines:
        if line.startswith(b"#Fields: "):
            separator = None
            names = re.findall(rb"[\w-]+", line.removeprefix(b"#Fields: "))
        elif not line.startswith(b"#"):
            tried = [separator] if separator else [b"\t", b" ", b","]
            values = {one: re.findall(rb'(?:^|%b)("(?:\\.|[^"\\])*"|[^%b]*)' % (one, one), line) for one in tried}
            fits = [one for one in tried if len(values[one]) >= len(names)]
            separator = separator or next(iter(fits), None)
            yield bool(line and fits) and is_time(values[separator][names.index(b"time")])


def counts(plain, kind):
    """The numbers of lines, log lines and rejected lines in the file's text."""
    lines = plain.split(b"\n")
    if lines[-1] == b"":
        lines.pop()
    lines = [line.removesuffix(b"\r") for line in lines]
    if kind == "W3C":
        good = list(are_w3c_lines(lines))
    else:
        good = [is_json_line(line) if kind == "JSON" else is_log_line(line, kind) for line in lines]
    return len(good), sum(good), len(good) - sum(good)


README = """\
# Test log files

`make.py` generates these files and this page. To change them, change the script, run `python3 testdata/make.py`, and commit its
output. The lines are invented and have the format of real logs; addresses are from the ranges for documentation.
Amounts (`amt`) are multiples of 0.25, so their sums are exact in any order.

A **log line** has a minimum number of fields, and an ISO-8601 time. Fields of it that can't be parsed are NULL. Every other
line, including an empty one, is a **rejected line**. A `\\r` before the line end belongs to the line end.

| log | fields, at least | time |
|---|--:|---|
| access log of an application balancer | 12 | field 2 |
| access log of a classic balancer | 12 | field 1 |
| connection log | 7 | field 1 |
| health check log | 6 | field 2 |
| network balancer's log of TLS connections | 11 | field 3. It has no zone, and is UTC. |
| JSON | 1 of the fields that AWS documents | the member `time` |
| W3C | as many as the `#Fields:` line before | the field named `time` |

Lines of a W3C log that begin with `#` are not counted as lines.

## `logs/`

The folders are as in S3. A folder's date is the day of delivery. The time in a name is the end of the five minutes (60 for the
classic balancer) that the file covers. {total}

`A` is `AWSLogs/{account}/elasticloadbalancing/{region}/2026/11`, `B` is `{account}_elasticloadbalancing_{region}`.

| file | shows | lines | log lines | rejected |
|---|---|--:|--:|--:|
{logs}

## `unreadable/`

Each has an application balancer's name. None of its log lines may be counted, not even the readable ones.

| file | shows |
|---|---|
{unreadable}
"""


def shown(path):
    path = path.removeprefix("logs/").removeprefix("unreadable/")
    day = f"AWSLogs/{ACCOUNT}/elasticloadbalancing/{REGION}/2026/11"
    return path.replace(day, "A").replace(f"{ACCOUNT}_elasticloadbalancing_{REGION}", "B")


# ---- all of it ---------------------------------------------------------------------------------------------


def key(resource, end, node, tag, suffix=".log.gz", prefix=""):
    """The name that the load balancer gives a log file, in the folder of its day of delivery."""
    parts = [f"{prefix}{ACCOUNT}", "elasticloadbalancing", REGION, resource.replace("/", "."), end, node, tag]
    folder = f"{KEYS}/{end[0:4]}/{end[4:6]}/{end[6:8]}"
    return f"{folder}/{'_'.join(part for part in parts if part)}{suffix}"


def log_files():
    """Yields path, kind of log, description, plain text, and the bytes of the file."""

    def entry(path, shows, lines, kind="access", pack=gzip, **ends):
        plain = text(lines, **ends)
        return path, kind, shows, plain, pack(plain)

    def rng(seed):
        return random.Random(f"logmill {seed}")

    yield entry(key(EVENTS, "20261120T1005Z", "10.0.1.7", "a1b2c3d4"),
                "events: `view`, `search`, `signup`, `purchase`, parameters in any order",
                beacons(rng(1), at("2026-11-20T10:00:00"), 40))
    yield entry(key(EVENTS, "20261120T1005Z", "10.0.2.9", "e5f60718"),
                "events of the same five minutes from the other node, 34 fields",
                beacons(rng(2), at("2026-11-20T10:00:00"), 30, fields=34))
    yield entry(key(EVENTS, "20261120T1010Z", "10.0.1.7", "29303142"),
                "events with odd parameters: repeated, empty, encoded, not numbers, not a URI",
                [beacon(rng(f"odd {i}"), at("2026-11-20T10:05:00") + timedelta(seconds=10 * i), query)
                 for i, query in enumerate(ODD_PARAMETERS)])
    yield entry(key(SHOP, "20261120T1005Z", "10.0.1.7", "b3c4d5e6"),
                "pages and API calls over three target groups",
                pages(rng(3), at("2026-11-20T10:00:00"), 50))
    yield entry(key(SHOP, "20261120T1130Z", "10.0.1.7", "c4d5e6f7"),
                "4xx, 5xx, 460, 463, 464, 504, 561; times of -1; no target; redirects, WAF, Lambda",
                answered_by_the_balancer(rng(4), at("2026-11-20T11:25:00")))
    yield entry(key(SHOP, "20261120T1135Z", "10.0.2.9", "d5e6f708"),
                f"lines of {', '.join(map(str, LENGTHS[:-1]))} and {LENGTHS[-1]} fields in one file",
                lengths(rng(5), at("2026-11-20T11:30:00")))
    yield entry(key(SHOP, "20261120T1140Z", "10.0.1.7", "e6f70819"),
                "IPv6, bare and in brackets",
                addresses(rng(6), at("2026-11-20T11:35:00")))
    yield entry(key(SHOP, "20261120T1145Z", "10.0.1.7", "f708192a"),
                r"raw spaces, `\x22`, `- -` requests, unquoted lists, ws, wss, grpcs, h2, an agent of 8,000 bytes",
                requests(rng(7), at("2026-11-20T11:40:00")))
    yield entry(key(SHOP, "20261120T1150Z", "10.0.1.7", "08192a3b"),
                "bytes beyond ASCII: UTF-8, not UTF-8, control characters",
                bytes_beyond_ascii(rng(8), at("2026-11-20T11:45:30")))
    yield entry(key(EVENTS, "20261120T1200Z", "10.0.1.7", "192a3b4c"),
                "gzip of three members, cut inside lines, and an empty fourth",
                beacons(rng(9), at("2026-11-20T11:55:00"), 24), pack=lambda plain: gzip(plain, 3) + member(b""))
    yield entry(key(EVENTS, "20261120T1205Z", "10.0.1.7", "2a3b4c5d"),
                "lines end in CR LF",
                beacons(rng(10), at("2026-11-20T12:00:00"), 12), end="\r\n")
    yield entry(key(EVENTS, "20261120T1210Z", "10.0.2.9", "3b4c5d6e"),
                "the last line has no line end",
                beacons(rng(11), at("2026-11-20T12:05:00"), 12), last_end=False)
    yield entry(key(SHOP, "20261120T1215Z", "10.0.1.7", "4c5d6e7f"),
                "lines that are not log lines, and log lines that look similar",
                no_log_lines(rng(12), at("2026-11-20T12:10:00")))
    yield entry(key(SHOP, "20261120T1220Z", "10.0.1.7", "5d6e7f80"), "gzip with no lines", [])
    yield entry(key(SHOP, "20261120T1225Z", "10.0.1.7", "6e7f8091"), "zero bytes, under a name that ends in `.gz`",
                [], pack=bytes)
    yield entry(key(SHOP, "20261120T1230Z", "10.0.1.7", "7f8091a2", suffix=".log"),
                "an application balancer's log that is not compressed",
                pages(rng(13), at("2026-11-20T12:25:00"), 6), pack=bytes)
    yield entry(key(LEGACY, "20261120T1100Z", "192.0.2.44", "8091a2b3", suffix=".log"),
                "a classic balancer's log, not compressed: 15 and 12 fields, TCP",
                classic(rng(14), at("2026-11-20T10:00:00")), kind="classic", pack=bytes)
    yield entry(key(SHOP, "20261120T1005Z", "10.0.1.7", "91a2b3c4", prefix="conn_log_"),
                "a connection log, 6 to 17 fields: all failures of certificates, odd subjects, plain HTTP",
                connections(rng(15), at("2026-11-20T10:00:00")), kind="connection")
    yield entry(key(EDGE, "20261120T1005Z", "", "a2b3c4d5"),
                "a network balancer's log, 3 to 25 fields: versions 1.0 to 3.0, no handshake, lists of protocols, masked addresses",
                network(rng(16), at("2026-11-20T10:00:00")), kind="network")
    yield entry(key(SHOP, "20261120T1005Z", "10.0.1.7", "e6f7081a", prefix="health_check_log_"),
                "a log of health checks, 5 to 12 fields: all failures, Lambda, gRPC",
                health_checks(rng(23), at("2026-11-20T10:00:00")), kind="health")
    yield entry(key(EVENTS, "20261121T0000Z", "10.0.1.7", "b3c4d5e7"),
                "delivered on the 21st, with events of the 20th",
                beacons(rng(17), at("2026-11-20T23:55:00"), 25))
    late = [beacon(rng(18), at("2026-11-20T22:10:00"), "e=purchase&uid=u42&c=DE&amt=99.75&p=web"),
            beacon(rng(19), at("2026-11-20T23:59:59"), "e=view&uid=u43&c=FR&p=ios")]
    yield entry(key(EVENTS, "20261121T0005Z", "10.0.1.7", "c4d5e6f8"),
                "events of the 21st, and two late ones of the 20th; not ordered by time",
                beacons(rng(20), at("2026-11-21T00:00:00"), 20) + late)
    yield entry(key(SHOP, "20261121T0940Z", "10.0.2.9", "d5e6f709"),
                "pages and API calls of the 21st, 36 fields",
                pages(rng(21), at("2026-11-21T09:35:00"), 25, fields=36))
    # AWS does not document the names of delivered files. These are as of text logs, once in the folders of Hive.
    yield entry(key(SHOP, "20261121T0810Z", "10.0.1.7", "f708192b", suffix=".json.gz"),
                "delivered as JSON: texts, numbers, lists, null and missing fields, other fields, lines that are no objects",
                json_lines(rng(24), at("2026-11-21T08:05:00")), kind="JSON")
    folder = (f"logs/AWSLogs/aws-account-id={ACCOUNT}/elasticloadbalancing/region={REGION}/year=2026/month=11/day=21")
    name = Path(key(SHOP, "20261121T0815Z", "10.0.1.7", "08192a3c")).name
    yield entry(f"{folder}/{name}",
                "delivered as W3C: separated by tabs, spaces and commas, three `#Fields:` lines, chosen fields",
                w3c_lines(rng(25), at("2026-11-21T08:10:00")), kind="W3C")
    yield entry("logs/exports/export-1.txt", "a gzipped log of an application balancer, with a name that does not tell the format",
                beacons(rng(22), at("2026-11-21T08:00:00"), 10))
    yield entry(f"logs/AWSLogs/{ACCOUNT}/ELBAccessLogTestFile", "not a log file: left out by its name",
                ["Enable AccessLogs for ELB: shop at 2026-11-20T09:58:12.345Z"], kind=None, pack=bytes)


def unreadable_files():
    rng = random.Random("logmill unreadable")
    for minute, (tag, shows, damage) in enumerate([
        ("truncated", "cut in the middle", truncated),
        ("corrupt", "one byte of the deflate stream changed: inflating fails", corrupt),
        ("badcrc", "the text is complete, but the checksum at the end is wrong", bad_crc),
        ("trailing-garbage", "a complete member, then bytes that are not gzip", trailing_garbage),
    ]):
        end = f"20261120T13{5 * minute + 5:02}Z"
        name = Path(key(EVENTS, end, "10.0.1.7", tag)).name
        lines = beacons(rng, at(f"2026-11-20T13:{5 * minute:02}:00"), 20)
        yield f"unreadable/{name}", shows, damage(gzip(text(lines)))


def write(path, content):
    target = HERE / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content)


def main():
    for folder in ("logs", "unreadable"):
        shutil.rmtree(HERE / folder, ignore_errors=True)

    rows, total = [], [0, 0, 0]
    for path, kind, shows, plain, packed in log_files():
        write(path, packed)
        if kind is None:
            rows.append(f"| `{shown(path)}` | {shows} | – | – | – |")
            continue
        found = counts(plain, kind)
        total = [a + b for a, b in zip(total, found)]
        rows.append(f"| `{shown(path)}` | {shows} | {found[0]} | {found[1]} | {found[2]} |")

    damaged = []
    for path, shows, packed in unreadable_files():
        write(path, packed)
        damaged.append(f"| `{shown(path)}` | {shows} |")

    page = README.format(
        account=ACCOUNT,
        region=REGION,
        logs="\n".join(rows),
        unreadable="\n".join(damaged),
        total=f"{total[0]} lines in total: {total[1]} log lines, {total[2]} rejected.",
    )
    write("README.md", page.encode())


if __name__ == "__main__":
    main()
