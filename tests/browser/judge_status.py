"""The status page of `logmill serve` in Chromium: a worker with nothing to do, with much, and with what visitors typed.

    python3 tests/browser/judge_status.py LOGMILL CACHE
"""

import base64
import gzip
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
sys.path.insert(0, str(HERE.parent / "trino"))

import hostile
import raw
import tables
from checks import Checks
from chromium import chromium, is_local
from gallery import DESK, Gallery
from logmill import Logmill
from visit import HEIGHT, visit

TOKEN = "a-token-for-tests"
CREDENTIALS = {"username": "anybody", "password": TOKEN}
BYTES_MAX = 200_000
FILES = 80
PATIENCE_SECONDS = 180
# The page updates itself every ten seconds, and shows what is at most three seconds old.
UPDATE_MS = 30_000
COUNTED = """() => Object.fromEntries([...document.querySelectorAll('#tables-scroll tbody tr')].map(
    row => [row.cells[0].textContent.trim(), row.cells[6].textContent.replaceAll(',', '').trim()]))"""


class Worker:
    """`logmill serve`, which is told of log files by HTTP."""

    def __init__(self, process, url, bucket):
        self.process = process
        self.url = url
        self.bucket = bucket

    def request(self, path, body=None, headers=None):
        """The status of an answer, and its text."""
        headers = {"Authorization": f"Bearer {TOKEN}"} if headers is None else headers
        try:
            with urllib.request.urlopen(urllib.request.Request(self.url + path, body, headers), timeout=PATIENCE_SECONDS) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def announce(self, files, status):
        """Puts log files into the bucket, and tells the worker of them."""
        for name, content in files.items():
            if content is not None:
                self.bucket.put(name, content)
        names = [f"s3://{raw.BUCKET}/{name}" for name in files]
        got, text = self.request("v1/log-files", json.dumps({"version": 1, "log_files": names}).encode())
        if got != status:
            raise SystemExit(f"the worker answers {got}, and not {status}: {text[:2000]}")

    def wait(self, logmill, sql, expected):
        """Waits until a query has these rows, each as a list."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while (found := [list(row.values()) for row in logmill.query(sql).to_pylist()]) != expected:
            if time.monotonic() > deadline:
                raise SystemExit(f"{sql} returns {found}, and not {expected}")
            time.sleep(0.5)

    def kill(self):
        self.process.kill()
        self.process.wait()


@contextmanager
def serve(binary, place, rollups, bucket):
    place.mkdir(exist_ok=True)
    command = [binary, "serve", "--rollups", rollups, "--tables", place, "--allow", f"s3://{raw.BUCKET}"]
    command += ["--listen", "127.0.0.1:0", "--commit-interval", "1"]
    environment = os.environ | bucket.environment() | {"DISPATCH_TOKEN": TOKEN}
    process = subprocess.Popen(list(map(str, command)), env=environment, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        said = []
        for line in process.stderr:
            said.append(line)
            if found := re.search(r'"serving".*?"listen":"([^"]+)"|"listen":"([^"]+)".*?"serving"', line):
                break
        else:
            raise SystemExit(f"logmill serve says {''.join(said)}")
        # A pipe that nobody reads would stop the worker.
        threading.Thread(target=process.stderr.read, daemon=True).start()
        yield Worker(process, f"http://{found[1] or found[2]}/", bucket)
    finally:
        process.terminate()
        process.wait()


def log_files(folder):
    """The log files of a folder: their keys and contents."""
    logs = folder / "logs"
    return {str(path.relative_to(logs)): path.read_bytes() for path in sorted(logs.rglob("*.gz"))}


def opened(gallery, url, **options):
    return visit(gallery.browser, url, DESK, http_credentials=CREDENTIALS, **options)


def compare(gallery, name, page, logmill, reloads):
    """The figures of the page become those of `logmill tables`. The page updates itself, or is loaded again."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    expected = {row["table"]: str(row["rows"]) for row in logmill.rows("tables").to_pylist()}
    while (shown := page.evaluate(COUNTED)) != expected and time.monotonic() < deadline:
        page.wait_for_timeout(1000)
        if reloads:
            page.reload()
    gallery.checks.equal(name, shown, expected)


def missing_tables(names):
    return lambda page: sorted(set(names) - set(page.evaluate(COUNTED)))


def judge_nothing(gallery, binary, folder, bucket):
    tables.write_rollups(folder / "rollups", tables.ROLLUPS)
    with serve(binary, folder / "tables", folder / "rollups", bucket) as worker:
        gallery.look("nothing", worker.url, BYTES_MAX, http_credentials=CREDENTIALS)
        # A browser asks for the token, and shows this answer when the person gives none.
        guessed = base64.b64encode(b"anybody:guessed").decode()
        for name, headers in {"no token": {}, "a wrong token": {"Authorization": f"Basic {guessed}"}}.items():
            status, text = worker.request("", headers=headers)
            told = [table for table in tables.ROLLUPS if table in text]
            gallery.checks.check(f"status: {name} shows nothing", told + ([] if status == 401 and "token" in text else [f"{status} {text}"]))


def judge_much(gallery, binary, folder, bucket):
    """The page over a worker that has counted some traffic, as it updates itself, and when the worker dies."""
    tables.much(folder, FILES)
    files = log_files(folder)
    first, later = dict(list(files.items())[:-10]), dict(list(files.items())[-10:])
    logmill = Logmill(binary, folder / "tables")
    with serve(binary, folder / "tables", folder / "rollups", bucket) as worker:
        worker.announce(first, 200)
        settle(worker, logmill, folder, len(first))
        gallery.look("much", worker.url, BYTES_MAX, http_credentials=CREDENTIALS)
        gallery.look_without_scripts("much", worker.url, missing_tables(tables.ROLLUPS), http_credentials=CREDENTIALS)
        seen = opened(gallery, worker.url)
        page = seen.page
        compare(gallery, "status, much: rows of each table", page, logmill, reloads=True)
        page.locator("#tables-scroll").focus()
        worker.announce(later, 200)
        settle(worker, logmill, folder, len(files))
        compare(gallery, "status, much: the page updates itself", page, logmill, reloads=False)
        gallery.checks.equal("status, much: what has focus keeps it", page.evaluate("document.activeElement.id"), "tables-scroll")
        gallery.checks.check("status, much: no faults while it updates itself", seen.faults)
        worker.kill()
        page.wait_for_timeout(UPDATE_MS)
        gallery.checks.check("status, much: a page that is old says so", [] if "old" in page.inner_text("body") else [page.inner_text("body")[:300]])
        page.evaluate("scrollTo(0, document.body.scrollHeight)")
        box = page.locator("#stale").bounding_box()
        gallery.checks.check("status, much: wherever one reads", [] if 0 <= box["y"] < HEIGHT - box["height"] else [box])
        page.screenshot(path=gallery.path("worker is dead", DESK, "png"))
        page.context.close()


def settle(worker, logmill, folder, files):
    """Waits until each rollup's table has counted all log files."""
    rollups = len(list((folder / "rollups").glob("*.sql")))
    worker.wait(logmill, "SELECT count(*) FROM log_files WHERE \"table\" <> 'rejected_lines'", [[rollups * files]])


def judge_hostile(gallery, binary, folder, bucket):
    """Hostile keys, lines, and names of log files that can't be read or are not there."""
    tables.of_visitors(folder)
    whole = {name: content for name, content in log_files(folder).items() if name.startswith("AWSLogs/")}
    bad = {f"AWSLogs/{name}.log.gz": gzip.compress(b"x" * 100)[:20] for name in hostile.FILE_NAMES if name.isprintable()}
    absent = {f"AWSLogs/{hostile.VALUES['a picture']}.log.gz": None}
    logmill = Logmill(binary, folder / "tables")
    with serve(binary, folder / "tables", folder / "rollups", bucket) as worker:
        worker.announce(whole, 200)
        for name, content in bad.items():
            worker.announce({name: content}, 422)
        worker.announce(absent, 503)
        worker.wait(logmill, "SELECT count(*) FROM rejected_lines", [[len(hostile.VALUES)]])
        settle(worker, logmill, folder, len(whole))
        gallery.look("hostile", worker.url, BYTES_MAX, http_credentials=CREDENTIALS)
        seen = opened(gallery, worker.url)
        compare(gallery, "status, hostile: rows of each table", seen.page, logmill, reloads=True)
        text = seen.look("text")
        gallery.checks.check("status, hostile: the names of files that cannot be read are shown", [] if "data-injected" in text else [text[:1000]])
        seen.page.context.close()


def main():
    binary, cache = Path(sys.argv[1]).resolve(), Path(sys.argv[2])
    checks = Checks()
    with tempfile.TemporaryDirectory(prefix="logmill-browser-") as folder, raw.bucket() as bucket, chromium() as browser:
        gallery = Gallery(checks, browser, cache, "status")
        for name, judge in {"nothing": judge_nothing, "much": judge_much, "hostile": judge_hostile}.items():
            Path(folder, name).mkdir()
            judge(gallery, binary, Path(folder, name), bucket)
        gallery.close()
        checks.check("status: no connection leaves the machine", [address for address in browser.connections() if not is_local(address)])
    return checks.close()


if __name__ == "__main__":
    sys.exit(main())
