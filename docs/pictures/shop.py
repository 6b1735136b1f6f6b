#!/usr/bin/env python3
"""Writes three days of access logs of a small shop, for the pictures of the docs.

    python3 docs/pictures/shop.py OUT [--days N] [--lines N]

There are days and nights, two nodes, an incident with errors and slow answers on the second day, an hour in which no log file
arrived, some lines that are cut off, and visitors who write HTML into their parameters. The same arguments give the same text.
Python 3.11, standard library only.
"""

import argparse
import gzip
import math
import random
from datetime import datetime, timedelta, timezone
from pathlib import Path

START = datetime(2026, 11, 20, tzinfo=timezone.utc)
BALANCER, BALANCER_ID = "shop", "50dc6c495c0c9188"
REGION, ACCOUNT = "us-east-2", "123456789012"
GROUPS = ["web", "api"]
PAGES = [("/", 30), ("/products/1042", 16), ("/search", 14), ("/cart", 9), ("/checkout", 4), ("/api/v1/orders", 7)]
EVENTS = [("view", 60), ("add_to_cart", 18), ("signup", 6), ("purchase", 5), ("</script><script>alert(1)</script>", 1)]
COUNTRIES = [("US", 34), ("DE", 17), ("GB", 11), ("FR", 9), ("BR", 8), ("IN", 7), ("JP", 5), ("IT", 3), ("ES", 2), ("NL", 2),
             ("SE", 1), ("PL", 1), ("CA", 1)]
AGENTS = ["Mozilla/5.0 (Windows NT 10.0; Win64; x64) Chrome/142.0.0.0", "Mozilla/5.0 (iPhone; CPU iPhone OS 18_7) Safari/604.1",
          "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) Version/26.0 Safari/605.1.15", "shop-app/4.12.0 (Android 16; Pixel 9)"]


def pick(rng, weighted):
    return rng.choices([value for value, _ in weighted], [weight for _, weight in weighted])[0]


def line(rng, moment, incident):
    slow = rng.lognormvariate(-3.2, 0.8) * (14 if incident and rng.random() < 0.5 else 1)
    page = pick(rng, PAGES)
    is_event = rng.random() < 0.35
    group = "api" if page.startswith("/api") or is_event else "web"
    status = 204 if is_event else 200
    if rng.random() < (0.16 if incident else 0.003):
        status = rng.choice([502, 503, 504])
    elif rng.random() < 0.03:
        status = rng.choice([403, 404, 404, 429])
    times = "-1 -1 -1" if status >= 502 else f"0.001 {min(slow, 29.9):.3f} 0.000"
    user, client = int(rng.paretovariate(0.9)), f"203.0.{rng.getrandbits(5)}.{rng.getrandbits(6)}"
    url = f"https://shop.example:443{page}"
    if is_event:
        event = pick(rng, EVENTS).replace("<", "%3C").replace(">", "%3E")
        amount = f"&amt={rng.lognormvariate(3, 0.7):.2f}" if event == "purchase" else ""
        url = f"https://shop.example:443/e?e={event}&uid={user}&c={pick(rng, COUNTRIES)}{amount}"
    time = moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    target = "-" if status >= 502 else str(status)
    return (f"h2 {time} app/{BALANCER}/{BALANCER_ID} {client}:{rng.randint(1024, 65000)} 10.0.0.1:80 {times} {status} {target} "
            f"{rng.randint(200, 900)} {rng.randint(300, 60000)} \"GET {url} HTTP/2.0\" \"{rng.choice(AGENTS)}\" - - "
            f"arn:aws:elasticloadbalancing:{REGION}:{ACCOUNT}:targetgroup/{group}/73e2d6bc24d8a067 \"Root=1-{rng.getrandbits(32):08x}\" "
            f"\"-\" \"-\" 0 {time} \"forward\" \"-\" \"-\" \"10.0.0.1:80\" \"{target}\" \"-\" \"-\" TID_{rng.getrandbits(64):016x}\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--days", type=int, default=3)
    parser.add_argument("--lines", type=int, default=50, help="lines of a log file, on average")
    args = parser.parse_args()
    for interval in range(288 * args.days):
        begin = START + timedelta(minutes=5 * interval)
        if begin.date() == START.date() and begin.hour == 3:
            continue  # no log files of this hour
        busy = 1 + 0.85 * math.sin((begin.hour + begin.minute / 60 - 9) / 24 * 2 * math.pi)
        incident = begin.day == 21 and (begin.hour, begin.minute) >= (14, 20) and begin.hour < 16
        end = begin + timedelta(minutes=5)
        folder = args.out / f"AWSLogs/{ACCOUNT}/elasticloadbalancing/{REGION}/{end:%Y/%m/%d}"
        folder.mkdir(parents=True, exist_ok=True)
        for node in (1, 2):
            rng = random.Random(f"{interval} {node}")
            count = max(1, round(args.lines * busy * rng.uniform(0.8, 1.2)))
            moments = sorted(begin + timedelta(seconds=rng.uniform(0, 299)) for _ in range(count))
            text = "".join(line(rng, moment, incident) for moment in moments)
            if rng.random() < 0.05:
                text += "h2 2026-11-20T00:00:00.000000Z app/shop cut off\n"
            name = (f"{ACCOUNT}_elasticloadbalancing_{REGION}_app.{BALANCER}.{BALANCER_ID}_"
                    f"{end:%Y%m%dT%H%MZ}_10.0.0.{node}_{rng.getrandbits(32):08x}.log.gz")
            (folder / name).write_bytes(gzip.compress(text.encode(), 6, mtime=0))


if __name__ == "__main__":
    main()
