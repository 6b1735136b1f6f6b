"""Seeded log lines of some days until now, such as people query: several hosts, clients, agents, verbs and statuses, with odd lines."""

import random
from datetime import UTC, datetime, timedelta

import awkward

AGENTS = ["curl/8.16.0", "Mozilla/5.0 (X11; Linux x86_64)", "loadrig/2.1", "CourierApp/4.12 (android)", "-", "bot; like Gecko"]
PATHS = ["/", "/cart", "/orders/{uuid}", "/img/a.png", "/e?ev=paid&amt=9.50&c=DE", "/e?ev=view&uid=7", "/a|b?x={y}", "/caf%C3%A9"]
STATUSES = [200] * 12 + [204, 301, 307, 401, 403, 404, 404, 429, 500, 502, 503]


def uuid(chance):
    digits = f"{chance.getrandbits(128):032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def line(chance, time):
    status = chance.choice(STATUSES)
    path = chance.choice(PATHS).replace("{uuid}", uuid(chance) if chance.random() < 0.5 else "1")
    host = chance.choice(["shop.example.com"] * 30 + ["www.example.com"] * 8 + ["shpo.example.com"])
    is_refused = status in (403, 429)
    target = "-" if is_refused else f"10.0.0.{chance.randrange(1, 7)}:80"
    tls = chance.choice([("-", "-"), ("ECDHE-RSA-AES128-GCM-SHA256", "TLSv1.2"), ("TLS_AES_128_GCM_SHA256", "TLSv1.3")])
    fields = dict(
        type="https" if tls[1] != "-" else "http",
        time=time.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        elb=chance.choice(["app/shop/50dc6c495c0c9188", "app/api/0123456789abcdef"]),
        client=f"192.0.2.{chance.randrange(1, 60)}:{chance.randrange(1024, 65535)}",
        target=target,
        target_processing_time="-1" if is_refused else f"{chance.expovariate(2):.3f}",
        elb_status_code=str(status),
        target_status_code="-" if is_refused else str(status),
        received_bytes=str(chance.randrange(40, 5000)),
        sent_bytes=str(int(chance.paretovariate(0.8) * 300)),
        request=f"{chance.choice(['GET'] * 5 + ['POST', 'HEAD'])} https://{host}:443{path} HTTP/1.1",
        user_agent=chance.choice(AGENTS),
        ssl_cipher=tls[0],
        ssl_protocol=tls[1],
        domain_name=host,
        actions_executed=chance.choice(["forward", "waf,forward", "waf"]),
        redirect_url=f"https://{host}:443/new" if status in (301, 307) else "-",
        trace_id=f"Root=1-{chance.getrandbits(96):024x}",
    )
    return awkward.text(awkward.DEFAULTS | fields)


def log_files(seed, files, lines, days=4):
    """Names of log files, in the folders of their days, and their lines. Each covers five minutes."""
    chance = random.Random(seed)
    now = datetime.now(UTC).replace(second=0, microsecond=0)
    for number in range(files):
        end = now - timedelta(minutes=5 * chance.randrange(days * 288))
        times = sorted(end - timedelta(seconds=chance.random() * 300) for _ in range(lines))
        name = f"123456789012_elasticloadbalancing_us-east-2_app.shop.50dc6c495c0c9188_{end:%Y%m%dT%H%MZ}_10.0.0.{number % 250}_{number:08x}.log.gz"
        yield f"AWSLogs/123456789012/elasticloadbalancing/us-east-2/{end:%Y/%m/%d}/{name}", [line(chance, time) for time in times]
