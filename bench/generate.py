#!/usr/bin/env python3
"""Writes access logs of an application load balancer that collects events: the data of the benchmark.

    python3 bench/generate.py OUT [--seed N] [--bytes 1.2e9] [--files 8] [--whole-hour | --five-minutes]

Every line has 30 fields and is one event, `GET /e?e=…&uid=…&c=…&amt=…&p=…`: about 750 bytes of text, which gzip
compresses to a sixth. The lines of a file ascend in time. Together the files cover one hour. Each file has its own
part of it or, with --whole-hour, all of it, as if each came from another node. With --five-minutes each file covers
the five minutes before the time in its name, as with a load balancer of many nodes.

The same arguments give the same text. Python 3.11, standard library only.
"""

import argparse
import multiprocessing
import random
import time
import zlib
from datetime import datetime, timedelta, timezone
from itertools import accumulate
from pathlib import Path

START = datetime(2026, 11, 20, 10, tzinfo=timezone.utc)
HOUR_US = 3_600_000_000
INTERVAL_US = 300_000_000  # how often each node of a load balancer writes a log file

# The mean length of a line including its line end, measured on this script's output. It only converts --bytes to
# a number of lines, so an error makes the files a little larger or smaller than requested.
LINE_BYTES = 770

BATCH_LINES = 20_000  # drawn, formatted and compressed at once: about 15 MB of text

EVENTS = "view click scroll search impression add_to_cart login checkout purchase share signup refund".split()
COUNTRIES = (
    "US DE IN BR GB FR JP MX IT ES CA ID TR PL NL AU KR SE AR TH VN PH BE CH AT PT "
    "DK NO FI CZ RO GR IE IL ZA NG KE EG CL NZ"
).split()
SECTIONS = "home garden kitchen shoes sports toys books music travel office pets beauty".split()

# Shares in per mille. The tail determines the number of groups: each of these statuses for each event and country.
STATUSES = {"204": 831, "200": 130, "400": 12, "403": 5, "404": 8, "429": 6, "500": 3, "502": 2, "503": 2, "504": 1}

USERS = 200_000

AGENTS = [
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36 Edg/142.0.0.0",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.0 Safari/605.1.15",
    "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Mobile Safari/537.36",
    "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/29.0 Chrome/136.0.0.0 Mobile Safari/537.36",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_7 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.0 Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6 Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (iPad; CPU OS 18_7 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/142.0.7444.77 Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (X11; Linux x86_64; rv:144.0) Gecko/20100101 Firefox/144.0",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:144.0) Gecko/20100101 Firefox/144.0",
    "shop-app/4.12.0 (Android 16; Pixel 9) okhttp/5.2.1",
]

REGION, ACCOUNT = "us-east-2", "123456789012"
BALANCER, BALANCER_ID = "events-prod", "9f1b2a7c3d4e5f60"
GROUP = f"arn:aws:elasticloadbalancing:{REGION}:{ACCOUNT}:targetgroup/events/73e2d6bc24d8a067"
CERTIFICATE = f"arn:aws:acm:{REGION}:{ACCOUNT}:certificate/0d4b3c2a-1f5e-4a7b-9c8d-6e5f4a3b2c1d"
HOST = "events.example.com"


def zipf(count, exponent):
    """Cumulative weights for random.choices: the n-th is as likely as n to the power of -exponent."""
    return list(accumulate(rank**-exponent for rank in range(1, count + 1)))


def people(seed):
    """All users: each has one address, one country and one user agent, as parts of a line.

    The parts are strings, so that few pieces make a line. Addresses are from a range that is not used on the
    internet.
    """
    rng = random.Random(f"{seed} people")
    countries = rng.choices(COUNTRIES, cum_weights=zipf(len(COUNTRIES), 1.0), k=USERS)
    agents = rng.choices(AGENTS, cum_weights=zipf(len(AGENTS), 0.7), k=USERS)
    bits = rng.getrandbits
    return [
        (f"100.{64 + bits(6)}.{bits(8)}.{bits(8)}", f"{bits(96):024x}&c={country}&amt=", agent)
        for country, agent in zip(countries, agents)
    ]


class Pools:
    """The values that lines are drawn from. They are the same for all files, and created once per process."""

    def __init__(self, seed):
        rng = random.Random(f"{seed} pools")
        self.people = people(seed)
        self.people_weights = zipf(USERS, 0.75)
        self.event_weights = zipf(len(EVENTS), 1.0)
        self.pages = [f"%2F{rng.choice(SECTIONS)}%2F{rng.randint(1_000_000, 9_999_999)}" for _ in range(50_000)]
        self.amounts = [f"{min(rng.lognormvariate(3, 1), 9999):.2f}" for _ in range(20_000)]
        self.targets = [f"10.0.{rng.getrandbits(8)}.{rng.getrandbits(8)}:{32768 + rng.getrandbits(14)}" for _ in range(240)]
        self.answers, self.answer_weights = self._answers(rng)

    def _answers(self, rng):
        """The three times and the status codes as written in the line, and how often each occurs."""
        answers, weights = [], []
        for status, share in STATUSES.items():
            variants = 8 * share
            for _ in range(variants):
                slow = min(rng.lognormvariate(-4.5, 1.0), 9.0)
                took = f"0.00{rng.choice('000001112')} {slow:.3f} 0.00{rng.choice('00001')}"
                target_status = status
                if status == "504":
                    took, target_status = "0.001 -1 -1", "-"
                elif status in ("502", "503"):
                    took, target_status = "-1 -1 -1", "-"
                body = {"204": 0, "200": 43}.get(status, 160)
                answers.append((f"{took} {status} {target_status}", target_status, body))
                weights.append(share / variants)
        return answers, list(accumulate(weights))


def each_second():
    """Each second of the hour, formatted for times and for trace ids."""
    moments = (START + timedelta(seconds=second) for second in range(HOUR_US // 1_000_000))
    return [(moment.strftime("%Y-%m-%dT%H:%M:%S."), f"{int(moment.timestamp()):08x}") for moment in moments]


pools = seconds = None


def open_pools(seed):
    global pools, seconds
    pools, seconds = Pools(seed), each_second()


def batch(rng, offsets_us):
    """The text of one line for each offset."""
    count = len(offsets_us)
    drawn = zip(
        offsets_us,
        rng.choices(pools.people, cum_weights=pools.people_weights, k=count),
        rng.choices(EVENTS, cum_weights=pools.event_weights, k=count),
        rng.choices(pools.pages, k=count),
        rng.choices(pools.amounts, k=count),
        rng.choices(pools.targets, k=count),
        rng.choices(pools.answers, cum_weights=pools.answer_weights, k=count),
        rng.choices((("h2", "2.0"), ("https", "1.1")), weights=(7, 3), k=count),
        rng.randbytes(5 * count).hex(" ", 5).split(" "),
        rng.randbytes(28 * count).hex(" ", 28).split(" "),
    )
    lines = []
    for offset, (address, user, agent), event, page, amount, target, answer, (kind, version), bits, ids in drawn:
        times_and_statuses, target_status, body = answer
        bits = int(bits, 16)
        received, sent, port = 310 + (bits & 511), 96 + body + (bits >> 9 & 63), 32768 + (bits >> 15 & 32767)
        created = max(0, offset - 1000 * (1 + (bits >> 30 & 255)))
        second, micros = divmod(offset, 1_000_000)
        created_second, created_micros = divmod(created, 1_000_000)
        (stamp, _), (created_stamp, created_hex) = seconds[second], seconds[created_second]
        lines.append(
            f"{kind} {stamp}{micros:06}Z app/{BALANCER}/{BALANCER_ID} {address}:{port} {target} "
            f"{times_and_statuses} {received} {sent} "
            f'"GET https://{HOST}:443/e?e={event}&uid={user}{amount}&p={page} HTTP/{version}" "{agent}" '
            f"ECDHE-RSA-AES128-GCM-SHA256 TLSv1.2 {GROUP} "
            f'"Root=1-{created_hex}-{ids[:24]}" "{HOST}" "{CERTIFICATE}" 10 {created_stamp}{created_micros // 1000:03}000Z '
            f'"forward" "-" "-" "{target}" "{target_status}" "-" "-" TID_{ids[24:]}\n'
        )
    return "".join(lines).encode("ascii")


def write_file(job):
    """Writes one log file and returns how many lines, bytes of text and bytes of gzip it has."""
    path, seed, begin_us, span_us, count = job
    rng = random.Random(seed)
    step = span_us / count
    text_bytes, gzip_bytes = 0, 0
    gzip = zlib.compressobj(6, zlib.DEFLATED, 31)
    with open(path, "wb") as file:
        for first in range(0, count, BATCH_LINES):
            lines = range(first, min(first + BATCH_LINES, count))
            # Each line is at a random place in its own share of the time, so lines ascend without sorting.
            offsets = [begin_us + int((line + part) * step) for line, part in zip(lines, iter(rng.random, None))]
            text = batch(rng, offsets)
            text_bytes += len(text)
            gzip_bytes += file.write(gzip.compress(text))
        gzip_bytes += file.write(gzip.flush())
    return count, text_bytes, gzip_bytes


def jobs(out, seed, size, files, whole_hour, five_minutes):
    lines = max(files, round(size / LINE_BYTES))
    for number in range(files):
        begin, span = (0, HOUR_US) if whole_hour else (HOUR_US * number // files, HOUR_US // files)
        if five_minutes:
            begin, span = begin // INTERVAL_US * INTERVAL_US, INTERVAL_US
        minutes = -(-(begin + span) // 60_000_000)
        end = START + timedelta(minutes=-(-minutes // 5) * 5)  # the load balancer's intervals are five minutes
        tag = f"{random.Random(f'{seed} name {number}').getrandbits(32):08x}"
        node = f"10.0.{1 + number % 3}.{5 + number // 3 % 250}"
        balancer = f"{ACCOUNT}_elasticloadbalancing_{REGION}_app.{BALANCER}.{BALANCER_ID}"
        name = f"{balancer}_{end:%Y%m%dT%H%MZ}_{node}_{tag}.log.gz"
        count = lines * (number + 1) // files - lines * number // files
        yield out / name, f"{seed} file {number}", begin, span, count


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("out", type=Path, help="output folder, created if missing")
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--bytes", type=float, default=1.2e9, help="bytes of text in all files together")
    arguments.add_argument("--files", type=int, default=8)
    spans = arguments.add_mutually_exclusive_group()
    spans.add_argument("--whole-hour", action="store_true", help="every file spans the whole hour, not a part of it")
    spans.add_argument("--five-minutes", action="store_true", help="every file spans the five minutes of its name")
    given = arguments.parse_args()

    began = time.monotonic()
    given.out.mkdir(parents=True, exist_ok=True)
    work = list(jobs(given.out, given.seed, given.bytes, given.files, given.whole_hour, given.five_minutes))
    if len({path for path, *_ in work}) < len(work):
        raise SystemExit("two files have the same name: try another seed")
    processes = min(len(work), multiprocessing.cpu_count())
    with multiprocessing.Pool(processes, initializer=open_pools, initargs=(given.seed,)) as pool:
        written = pool.map(write_file, work, chunksize=1 + len(work) // 1000)

    lines, text, packed = map(sum, zip(*written))
    print(
        f"{given.out}: {len(work)} files, {lines:,} lines of {text / lines:.1f} bytes, "
        f"{text / 1e6:,.0f} MB of text, {packed / 1e6:,.0f} MB of gzip ({text / packed:.2f}:1), "
        f"in {time.monotonic() - began:.0f} s"
    )


if __name__ == "__main__":
    main()
