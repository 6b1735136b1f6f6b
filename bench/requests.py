#!/usr/bin/env python3
"""Measures the requests that a commit sends to S3, and how a run ends whose tables' bucket breaks.

    python3 bench/requests.py LOGMILL [LOGMILL…] [--minutes 5] [--rebuild 10000]

prints, for each program, the requests of `logmill run` over one more small log file by kind. For a bucket that refuses requests, it
prints the requests and the time until the run ends, and the objects that are left. A run that has not ended after the minutes is
killed, and the table says so. With --rebuild, it prints instead the requests and the time of a rebuild of so many small log files, one for
each five minutes. S3 is a server in this process that answers at once. Python's standard library only.
"""

import argparse
import bisect
import collections
import datetime
import hashlib
import http.server
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
from pathlib import Path
from xml.sax.saxutils import escape

LINE = (
    'https 2026-11-20T10:00:00.000000Z app/shop/0 192.0.2.1:2817 10.0.0.1:80 0.001 0.020 0.000 200 200 34 366 '
    '"GET https://shop.example:443/ HTTP/1.1" "curl/8" - - - "Root=1" "-" "-" 0 2026-11-20T10:00:00.000000Z "forward" "-" "-" '
    '"10.0.0.1:80" "200" "-" "-" TID_0\n'
)
NAME = "123456789012_elasticloadbalancing_us-east-2_app.shop.0_20261120T1005Z_10.0.0.{node}_r.log"
ROLLUP = (
    "SELECT date_trunc('minute', from_iso8601_timestamp(time)) AS minute, elb_status_code, count(*) AS requests "
    "FROM alb_access_logs GROUP BY 1, 2"
)

KINDS = ("LIST", "GET", "HEAD", "PUT", "DELETE")

# The failures by name: the failing requests of the tables' bucket, as a pattern of kind and key, and the response.
BREAKS = {
    "every PUT: 500 InternalError": ("^PUT", 500, "InternalError"),
    "every PUT: 503 SlowDown": ("^PUT", 503, "SlowDown"),
    "every PUT, once all is staged: 503 SlowDown": ("^PUT (?!.*/_staging/)", 503, "SlowDown"),
    "PUTs of data files: 500 InternalError": ("^PUT .*/date=", 500, "InternalError"),
    "PUTs of the log's versions: 503 SlowDown": ("^PUT .*/_delta_log/", 503, "SlowDown"),
    "GETs of the log's versions, once all is staged: 503 SlowDown": ("^GET .*/_delta_log/.*json", 503, "SlowDown"),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("programs", metavar="LOGMILL", nargs="+", type=Path, help="programs to measure")
    parser.add_argument("--break", dest="only", help="only failures whose name contains this")
    parser.add_argument("--minutes", type=float, default=5, help="how long a run against a broken bucket may take")
    parser.add_argument("--rebuild", type=int, metavar="N", help="measure a rebuild of so many log files instead")
    arguments = parser.parse_args()
    for program in arguments.programs:
        with tempfile.TemporaryDirectory(prefix="requests-") as folder:
            if arguments.rebuild:
                rebuild(program.absolute(), Path(folder), arguments.rebuild)
            else:
                measure(program.absolute(), Path(folder), arguments)


def measure(program, folder, arguments):
    patience = arguments.minutes * 60
    (folder / "rollups").mkdir()
    (folder / "rollups/by_minute.sql").write_text(ROLLUP)
    print(f"\n{program}\n\n| requests of | {' | '.join(KINDS)} | all |\n|---|{'--:|' * (len(KINDS) + 1)}")
    s3 = S3()
    s3.put_log(1)
    first = s3.requests_of(lambda: run(program, folder, s3))
    s3.put_log(2)
    one = s3.requests_of(lambda: run(program, folder, s3))
    none = s3.requests_of(lambda: run(program, folder, s3))
    s3.put_log(3)
    s3.put_log(4)
    two = s3.requests_of(lambda: run(program, folder, s3))
    print(row("a run that makes the table, and counts one log file", by_kind(first)))
    print(row("a run with nothing to count", by_kind(none)))
    print(row("a run that counts one more log file", by_kind(one)))
    commit = collections.Counter(one)
    commit.subtract(none)
    print(row("of these for reading, staging and committing it", by_kind(commit)))
    print(row("a run that counts two more", by_kind(two)))
    print("\nReading, staging and committing one log file, by kind of object:\n")
    for (kind, what), count in sorted(commit.items(), key=lambda each: (each[0][1], each[0][0])):
        if count:
            print(f"- {what}: {count} {kind}")

    kept = "| refused requests | PUTs | all requests | seconds until it ended | exit code | objects in no version |"
    print(f"\n{kept}\n|---|--:|--:|--:|--:|--:|", flush=True)
    said = []
    for name, (where, status, code) in BREAKS.items():
        if arguments.only and arguments.only not in name:
            continue
        s3 = S3()
        s3.put_log(1)
        run(program, folder, s3)
        before = set(s3.objects)
        s3.put_log(2)
        s3.broken, s3.once_staged = (where, status, code), "once all is staged" in name
        begun = time.monotonic()
        outcome = []
        requests = s3.requests_of(lambda: outcome.append(run(program, folder, s3, patience)))
        took, (exit_code, output) = time.monotonic() - begun, outcome[0]
        seconds = f"{took:.0f}" if exit_code is not None else f"not in {patience:.0f}"
        exit_code = "killed" if exit_code is None else exit_code
        orphans = [key for key in set(s3.objects) - before if not key.startswith("logs/") and is_orphan(key)]
        puts = by_kind(requests)["PUT"]
        print(f"| {name} | {puts:,} | {sum(requests.values()):,} | {seconds} | {exit_code} | {len(orphans)} |", flush=True)
        said.append((name, output))
    for name, output in said:
        print(f"\n{name}; the last lines of the output:\n")
        print("\n".join(f"    {line[:300]}" for line in output.strip().splitlines()[-6:]))


def rebuild(program, folder, log_files):
    (folder / "rollups").mkdir()
    (folder / "rollups/by_minute.sql").write_text(ROLLUP)
    print(f"\n{program}: {log_files:,} log files\n\n| requests of | {' | '.join(KINDS)} | all | s |\n|---|{'--:|' * (len(KINDS) + 2)}")
    s3 = S3()
    begin = datetime.datetime(2026, 10, 1)
    for number in range(log_files):
        end = begin + datetime.timedelta(minutes=5 * number)
        line = LINE.replace("2026-11-20T10:00", f"{end - datetime.timedelta(minutes=1):%Y-%m-%dT%H:%M}")
        name = NAME.format(node=number % 4).replace("20261120T1005Z", f"{end:%Y%m%dT%H%MZ}")
        s3.put(f"logs/{name}", (line * 20).encode())

    def say(what, arguments):
        begun = time.monotonic()
        requests = s3.requests_of(lambda: command(program, folder, s3, arguments, 3600))
        print(row(what, by_kind(requests)), f"{time.monotonic() - begun:.1f} |", flush=True)

    tables, rollups = ["--tables", "s3://tables/t"], ["--rollups", folder / "rollups"]
    say("`run`", ["run", "s3://logs", *rollups, *tables])
    (folder / "rollups/by_minute.sql").write_text(ROLLUP.replace("count(*)", "sum(sent_bytes) AS sent_bytes, count(*)"))
    say("`rebuild --dry-run`", ["rebuild", *rollups, *tables, "--dry-run"])
    say("`rebuild --dry-run --logs`", ["rebuild", *rollups, *tables, "--dry-run", "--logs", "s3://logs"])
    say("`rebuild --logs`", ["rebuild", *rollups, *tables, "--logs", "s3://logs"])
    say("`rollback`", ["rollback", "by_minute", *tables, "--logs", "s3://logs"])


def is_orphan(key):
    """Whether it is a data file or a ledger object. Staged files are not orphans: they wait for the next commit."""
    return not re.search(r"/_(staging|set_aside|lease|delta_log)\b", key)


def run(program, folder, s3, patience=120):
    return command(program, folder, s3, ["run", "s3://logs", "--rollups", folder / "rollups", "--tables", "s3://tables/t"], patience)


def command(program, folder, s3, arguments, patience):
    """The exit code (`None` if it was killed) and the output."""
    aws = {
        "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": "us-east-1", "AWS_ENDPOINT_URL": s3.endpoint,
    }  # fmt: skip
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    with open(folder / "output", "w+b") as output:
        child = subprocess.Popen([program, *arguments], env=kept | aws, stdout=output, stderr=output)
        try:
            code = child.wait(patience)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
            code = None
        output.seek(0)
        said = output.read().decode(errors="replace")
    if patience in (120, 3600) and code != 0:
        sys.exit(f"the run failed:\n{said}")
    return code, said


def by_kind(requests):
    kinds = collections.Counter()
    for (kind, _), count in requests.items():
        kinds[kind] += count
    return kinds


def row(what, kinds):
    figures = [f"{kinds[kind]:,}" for kind in KINDS]
    return f"| {what} | {' | '.join(figures)} | {sum(kinds.values()):,} |"


class S3:
    """S3 in memory with the buckets `logs` and `tables`. Counts requests."""

    def __init__(self):
        self.objects = {}
        # The keys in their order, until an object is written or deleted.
        self.keys = None
        self.lock = threading.Lock()
        self.counts = collections.Counter()
        # The failing requests (a pattern of kind and key) and the status and code of the response. And whether they fail
        # only after a log file has been staged.
        self.broken = None
        self.once_staged = False
        server = Server(("127.0.0.1", 0), type("Of", (Answers,), {"s3": self}))
        self.endpoint = f"http://127.0.0.1:{server.server_address[1]}"
        threading.Thread(target=server.serve_forever, daemon=True).start()

    def is_broken(self, kind, key):
        if not self.broken or not key.startswith("tables/"):
            return False
        is_staged = any("/_staging/" in key for key in self.objects)
        return (is_staged or not self.once_staged) and bool(re.search(self.broken[0], f"{kind} {key}"))

    def put_log(self, node):
        self.put(f"logs/{NAME.format(node=node)}", (LINE * 100).encode())

    def put(self, key, body):
        etag = f'"{hashlib.md5(body).hexdigest()}"'
        if key not in self.objects:
            self.keys = None
        self.objects[key] = (body, etag, time.time())
        return etag

    def delete(self, key):
        if self.objects.pop(key, None):
            self.keys = None

    def keys_from(self, prefix):
        """The keys that begin with a prefix, in their order."""
        if self.keys is None:
            self.keys = sorted(self.objects)
        for at in range(bisect.bisect_left(self.keys, prefix), len(self.keys)):
            if not self.keys[at].startswith(prefix):
                return
            yield self.keys[at]

    def requests_of(self, work):
        """The number of requests during `work`, by kind of request and kind of object."""
        self.counts = collections.Counter()
        work()
        return collections.Counter(self.counts)


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_):
        """Clients may disconnect before they have read a response."""


def what_of(key):
    """The kind of object of a key or a prefix."""
    if key.startswith("logs"):
        return "log files"
    table = "rejected_lines " if "rejected_lines/" in key else ""
    found = re.search(r"/(_\w+)", key)
    return table + (found[1] if found else "data files" if "date=" in key else "the folder of tables")


class Answers(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    s3 = None

    def log_message(self, *_):
        pass

    def setup(self):
        super().setup()
        # TCP_NODELAY: head and body are two writes, and the second would wait for the acknowledgement of the first.
        self.connection.setsockopt(6, 1, 1)

    def do(self):
        url = urllib.parse.urlsplit(self.path)
        key = urllib.parse.unquote(url.path).lstrip("/")
        query = dict(urllib.parse.parse_qsl(url.query, keep_blank_values=True))
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        is_list = "list-type" in query
        kind = "LIST" if is_list else "DELETE" if self.command == "POST" else self.command
        shown = f"{key.rstrip('/')}/{query.get('prefix', '')}" if is_list else key
        if "delete" in query:
            shown = f"{key}/{re.search(r'<Key>([^<]*)', body.decode())[1]}"
        with self.s3.lock:
            self.s3.counts[kind, what_of(shown)] += 1
            if self.s3.is_broken(kind, key):
                self.fail(*self.s3.broken[1:])
            elif is_list:
                self.list(key.rstrip("/"), query)
            elif kind == "PUT":
                self.put(key, body)
            elif self.command == "POST" and "delete" in query:
                self.delete_all(key.rstrip("/"), body.decode())
            elif kind == "DELETE":
                self.s3.delete(key)
                self.answer(204)
            elif "/" not in key.rstrip("/"):
                self.answer(200, headers={"x-amz-bucket-region": "us-east-1"})
            elif kind in ("GET", "HEAD"):
                self.get(key)
            else:
                self.fail(501, "NotImplemented")

    do_GET = do_HEAD = do_PUT = do_DELETE = do_POST = do

    def answer(self, status, body=b"", headers=None, length=None):
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        if self.command != "HEAD" and body:
            self.wfile.write(body)

    def fail(self, status, code):
        body = f"<Error><Code>{code}</Code><Message>{code}</Message></Error>".encode()
        self.answer(status, body, {"Content-Type": "application/xml"})

    def put(self, key, body):
        there = self.s3.objects.get(key)
        if self.headers.get("If-None-Match") == "*" and there:
            return self.fail(412, "PreconditionFailed")
        wanted = self.headers.get("If-Match")
        if wanted and (not there or there[1] != wanted):
            return self.fail(412 if there else 404, "PreconditionFailed" if there else "NoSuchKey")
        if source := self.headers.get("x-amz-copy-source"):
            copied = self.s3.objects.get(urllib.parse.unquote(source).lstrip("/"))
            if not copied:
                return self.fail(404, "NoSuchKey")
            etag = self.s3.put(key, copied[0])
            copy = f"<CopyObjectResult><ETag>{escape(etag)}</ETag></CopyObjectResult>".encode()
            return self.answer(200, copy, {"Content-Type": "application/xml"})
        self.answer(200, headers={"ETag": self.s3.put(key, body)})

    def get(self, key):
        there = self.s3.objects.get(key)
        if not there:
            return self.fail(404, "NoSuchKey")
        body, etag, modified = there
        if self.headers.get("If-Match") not in (None, etag, etag.strip('"')):
            return self.fail(412, "PreconditionFailed")
        headers = {"ETag": etag, "Last-Modified": self.date_time_string(modified), "Content-Type": "binary/octet-stream"}
        status, part = 200, body
        if asked := re.match(r"bytes=(\d*)-(\d*)$", self.headers.get("Range") or ""):
            first, last = asked[1], asked[2]
            begin = int(first) if first else max(0, len(body) - int(last))
            end = min(len(body), int(last) + 1 if first and last else len(body))
            if begin >= len(body):
                return self.fail(416, "InvalidRange")
            status, part = 206, body[begin:end]
            headers["Content-Range"] = f"bytes {begin}-{end - 1}/{len(body)}"
        self.answer(status, part, headers)

    def list(self, bucket, query):
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter")
        after = query.get("continuation-token") or query.get("start-after") or ""
        most = int(query.get("max-keys", 1000))
        entries, folders = [], set()
        for key in self.s3.keys_from(f"{bucket}/{prefix}"):
            name = key.removeprefix(f"{bucket}/")
            if name <= after:
                continue
            if len(entries) > most:
                break
            end = name.find(delimiter, len(prefix)) if delimiter else -1
            if end < 0:
                entries.append(name)
            elif name[: end + 1] not in folders:
                folders.add(name[: end + 1])
        xml = f"<Name>{bucket}</Name><Prefix>{escape(prefix)}</Prefix><MaxKeys>{most}</MaxKeys>"
        xml += f"<KeyCount>{min(most, len(entries))}</KeyCount><IsTruncated>{str(len(entries) > most).lower()}</IsTruncated>"
        if len(entries) > most:
            xml += f"<NextContinuationToken>{escape(entries[most - 1])}</NextContinuationToken>"
        for name in entries[:most]:
            body, etag, modified = self.s3.objects[f"{bucket}/{name}"]
            when = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(modified))
            xml += f"<Contents><Key>{escape(name)}</Key><LastModified>{when}</LastModified><ETag>{escape(etag)}</ETag>"
            xml += f"<Size>{len(body)}</Size><StorageClass>STANDARD</StorageClass></Contents>"
        xml += "".join(f"<CommonPrefixes><Prefix>{escape(name)}</Prefix></CommonPrefixes>" for name in sorted(folders))
        self.answer(200, f"<ListBucketResult>{xml}</ListBucketResult>".encode(), {"Content-Type": "application/xml"})

    def delete_all(self, bucket, body):
        keys = re.findall(r"<Key>([^<]*)</Key>", body)
        for key in keys:
            self.s3.delete(f"{bucket}/{key}")
        deleted = "".join(f"<Deleted><Key>{key}</Key></Deleted>" for key in keys)
        self.answer(200, f"<DeleteResult>{deleted}</DeleteResult>".encode(), {"Content-Type": "application/xml"})


if __name__ == "__main__":
    main()
