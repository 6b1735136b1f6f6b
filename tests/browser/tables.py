"""Tables for the pages: with nothing, much and hostile data in them."""

import gzip
import random
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent.parent
sys.path.insert(0, str(HERE.parent / "trino"))

import awkward
import hostile
import traffic

DAYS = 28
FILES, LINES = 600, 60
# The rows of one line may have 4 MB of its text together.
KEYS_PER_LINE = 500
LINES_PER_FILE = 20
DAY = datetime(2026, 11, 20, tzinfo=UTC)

# Each has a time and a key, and a column of each kind that a page draws.
ROLLUPS = {
    "by_hour": """
        SELECT date_trunc('hour', from_iso8601_timestamp(time)) AS hour, elb_status_code AS status, count(*) AS requests, sum(sent_bytes) AS sent_bytes,
               avg(target_processing_time) AS mean_seconds, approx_percentile(target_processing_time, 0.95) AS p95_seconds,
               approx_set(client_ip) AS visitors, tdigest_agg(target_processing_time) FILTER (WHERE target_processing_time >= 0) AS latency,
               max(user_agent) AS last_agent, bool_or(elb_status_code >= 500) AS any_failed
        FROM alb_access_logs GROUP BY 1, 2""",
    "by_key": """
        SELECT date_trunc('hour', from_iso8601_timestamp(time)) AS hour, url_extract_parameter(request_url, 'k') AS key, count(*) AS requests,
               approx_set(client_ip) AS visitors
        FROM alb_access_logs GROUP BY 1, 2""",
    # Without a time.
    "by_agent": "SELECT user_agent, count(*) AS requests, count(DISTINCT client_ip) AS clients FROM alb_access_logs GROUP BY user_agent ORDER BY requests DESC",
    "all_lines": "SELECT count(*) AS requests, sum(sent_bytes) AS sent_bytes, min(time) AS first_seen FROM alb_access_logs",
}
OF_KEYS = """
    SELECT date_trunc('hour', from_iso8601_timestamp(time)) AS hour, item, count(*) AS requests
    FROM alb_access_logs CROSS JOIN UNNEST(split(url_extract_parameter(request_url, 'k'), ',')) AS t (item) GROUP BY 1, 2"""
HOSTILE_COLUMNS = """
    SELECT date_trunc('hour', from_iso8601_timestamp(time)) AS "<b data-injected>hour", client_ip AS "' data-injected='", count(*) AS "requests</script><injected>"
    FROM alb_access_logs GROUP BY 1, 2"""


def log_name(end, number):
    folder = f"AWSLogs/123456789012/elasticloadbalancing/us-east-2/{end:%Y/%m/%d}"
    return f"{folder}/123456789012_elasticloadbalancing_us-east-2_app.shop.50dc6c495c0c9188_{end:%Y%m%dT%H%MZ}_10.0.0.{number % 250}_{number:08x}.log.gz"


def line(time, url, **fields):
    return awkward.text(awkward.DEFAULTS | {"time": f"{time:%Y-%m-%dT%H:%M:%S.%fZ}", "request": f"GET {url} HTTP/1.1"} | fields)


def write(path, lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress("".join(f"{text}\n" for text in lines).encode(errors="surrogatepass"), compresslevel=1))


def write_rollups(folder, rollups):
    folder.mkdir(parents=True)
    for name, sql in rollups.items():
        (folder / f"{name}.sql").write_text(sql)


def count(binary, folder, fails=False):
    """Counts the log files of a folder by its rollups, into `tables`. If some can't be read, the command fails when all others are counted."""
    command = [binary, "run", folder / "logs", "--rollups", folder / "rollups", "--tables", folder / "tables"]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    if bool(done.returncode) != fails:
        raise SystemExit(f"logmill run ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return folder / "tables"


def nothing(folder):
    """Log files, but rows in no table: each line is excluded, or is rejected by its table."""
    none = {name: sql.replace("FROM alb_access_logs", "FROM alb_access_logs WHERE elb_status_code = 999") for name, sql in ROLLUPS.items()}
    write_rollups(folder / "rollups", none)
    write(folder / "logs" / log_name(DAY, 1), [line(DAY, "https://shop.example.com:443/")])
    return folder


def much(folder, files=FILES):
    """Traffic of some weeks: the project's own rollups, and those above."""
    own = {path.stem: path.read_text() for path in sorted((REPOSITORY / "rollups").glob("*.sql"))}
    write_rollups(folder / "rollups", own | ROLLUPS)
    for name, lines in traffic.log_files(7, files, LINES, DAYS):
        write(folder / "logs" / name, lines)
    return folder


def many_groups(folder, groups, days=DAYS):
    """So many groups, spread over days. They are made of few lines, as each line is a row for each of its keys."""
    write_rollups(folder / "rollups", {"by_item": OF_KEYS})
    url = "https://shop.example.com:443/?k="
    per_file = KEYS_PER_LINE * LINES_PER_FILE
    files = -(-groups // per_file)
    chance = random.Random(7)
    for number in range(files):
        time = DAY - timedelta(hours=number * days * 24 // files)
        keys = [f"k{key:x}" for key in range(number * per_file, min((number + 1) * per_file, groups))]
        lines = [keys[at : at + KEYS_PER_LINE] for at in range(0, len(keys), KEYS_PER_LINE)]
        lines.append([f"often{chance.randrange(20)}" for _ in range(KEYS_PER_LINE)])
        write(folder / "logs" / log_name(time, number), [line(time, url + ",".join(part)) for part in lines])
    return folder


def of_visitors(folder):
    """Each value of `hostile.VALUES` as a key, a user agent, a line that is no log line, and a name of a file that can't be read."""
    write_rollups(folder / "rollups", ROLLUPS | {"odd_columns": HOSTILE_COLUMNS})
    for hours in range(48):
        time = DAY + timedelta(hours=hours)
        lines = []
        for number, value in enumerate(hostile.VALUES.values()):
            url = f"https://shop.example.com:443/e?k={quote(value, safe='', errors='surrogatepass')}"
            agent = value.replace('"', '\\"')
            lines += [line(time, url, user_agent=agent, client=f"192.0.2.{number}:4{number:04}", target_processing_time=f"{number / 100:.3f}")] * (1 + number % 3)
        bad = list(hostile.VALUES.values()) if hours == 0 else []
        write(folder / "logs" / log_name(time, hours), lines + bad)
    whole = gzip.compress(line(DAY, "https://shop.example.com:443/").encode())
    for name in hostile.FILE_NAMES:
        (folder / "logs" / f"{name}.log.gz").write_bytes(whole[:40])
    return folder
