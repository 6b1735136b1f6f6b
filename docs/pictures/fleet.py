"""A fleet of workers on this machine, with a queue, a dead-letter queue and a bucket of an emulator, and the troubles of a bad night."""

import gzip
import json
import os
import random
import re
import subprocess
import sys
import threading
import time
import urllib.request
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent.parent
sys.path.insert(0, str(REPOSITORY / "tests/trino"))

import raw
import shop

HOSTS = ["ip-10-0-1-17", "ip-10-0-1-112", "ip-10-0-2-45"]
RECEIVES_MAX = 5
LINES = 300
INTERVAL = timedelta(minutes=5)
# Log files of this time were counted before the workers started. So their tables are not new, and know what is final.
HISTORY = 72
# Intervals that the workers are told of. Those of more than half an hour ago would be late, and nothing final.
RECENT = 5
NODES = (1, 2)
FOLDER = f"AWSLogs/{shop.ACCOUNT}/elasticloadbalancing/{shop.REGION}"
PATIENCE_SECONDS = 900


class Worker:
    def __init__(self, process, url):
        self.process = process
        self.url = url

    def kill(self):
        self.process.kill()
        self.process.wait()


class Fleet:
    def __init__(self, bucket, tables, workers, queue, dead):
        self.bucket = bucket
        self.tables = tables
        self.workers = workers
        self.queue = queue
        self.dead = dead
        self.files = 0

    def status(self):
        with urllib.request.urlopen(f"{self.workers[0].url}v1/status", timeout=60) as answer:
            return json.load(answer)

    def wait(self, what, is_so):
        """Waits until the status of the first worker is so."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not is_so(status := self.status()):
            if time.monotonic() > deadline:
                raise SystemExit(f"not within {PATIENCE_SECONDS} s: {what}\n{json.dumps(status['verdict'], indent=1)}")
            time.sleep(2)

    def announce(self, key):
        body = json.dumps({"version": 1, "log_files": [f"s3://{raw.BUCKET}/{key}"]})
        sqs(self.bucket).send_message(QueueUrl=self.queue, MessageBody=body)

    def send(self, end, node):
        """Puts the log file of one node and interval into the bucket, and announces it."""
        self.files += 1
        self.bucket.put(key(end, node), log_file(end, node))
        self.announce(key(end, node))

    def send_recent(self):
        """Sends the last intervals of all nodes."""
        for number in range(RECENT - 1, -1, -1):
            for node in NODES:
                self.send(now() - number * INTERVAL, node)

    def break_down(self, table):
        """A worker dies, a log file is cut off, another one is gone, and a table loses the data files that its next commit needs."""
        self.workers.pop().kill()
        for file in (self.tables / table).glob("date=*/*.parquet"):
            file.unlink()
        end = now()
        text = log_file(end, 3)
        self.bucket.put(key(end, 3), text[: len(text) // 2])
        self.announce(key(end, 3))
        self.announce(key(end, 4))


def key(end, node):
    name = f"{shop.ACCOUNT}_elasticloadbalancing_{shop.REGION}_app.{shop.BALANCER}.{shop.BALANCER_ID}_{end:%Y%m%dT%H%MZ}"
    return f"{FOLDER}/{end:%Y/%m/%d}/{name}_10.0.0.{node}_{node:08x}.log.gz"


def log_file(end, node):
    rng = random.Random(f"{end} {node}")
    moments = sorted(end - INTERVAL + timedelta(seconds=rng.uniform(0, 299)) for _ in range(round(LINES * rng.uniform(0.8, 1.2))))
    return gzip.compress("".join(shop.line(rng, moment, False) for moment in moments).encode(), 6, mtime=0)


def write_history(folder):
    """The log files before those of the fleet."""
    last = now() - RECENT * INTERVAL
    for number in range(HISTORY):
        for node in NODES:
            path = folder / key(last - number * INTERVAL, node)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(log_file(last - number * INTERVAL, node))


def now():
    """The end of the last whole interval."""
    moment = datetime.now(UTC)
    return moment.replace(minute=moment.minute // 5 * 5, second=0, microsecond=0)


def sqs(bucket):
    import botocore.session

    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
    return botocore.session.get_session().create_client("sqs", region_name="us-east-1", endpoint_url=bucket.endpoint, **keys)


def on_host(name, command):
    """The command on a machine of this name, if this machine lets us name one."""
    as_root = [] if os.geteuid() == 0 else ["--map-root-user"]
    unshare = ["unshare", *as_root, "--uts"]
    if subprocess.run([*unshare, "true"], stderr=subprocess.DEVNULL).returncode != 0:
        return command
    return [*unshare, "sh", "-c", 'hostname "$0" && exec "$@"', name, *command]


def serve(binary, host, rollups, tables, queue, bucket):
    command = [str(binary), "serve", "--rollups", str(rollups), "--tables", str(tables), "--allow", f"s3://{raw.BUCKET}/AWSLogs", "--queue-url", queue]
    command += ["--listen", "127.0.0.1:0", "--commit-interval", "5", "--status-page", "open"]
    process = subprocess.Popen(on_host(host, command), env=os.environ | bucket.environment(), stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    said = []
    for line in process.stderr:
        said.append(line)
        if found := re.search(r'"listen":"([^"]+)"', line):
            # A pipe that nobody reads would stop the worker.
            threading.Thread(target=process.stderr.read, daemon=True).start()
            return Worker(process, f"http://{found[1]}/")
    raise SystemExit(f"logmill serve says {''.join(said)}")


@contextmanager
def fleet(binary, folder):
    with raw.bucket() as bucket:
        client = sqs(bucket)
        dead = client.create_queue(QueueName="logmill-dead-letters")["QueueUrl"]
        arn = client.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        redrive = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": RECEIVES_MAX})
        queue = client.create_queue(QueueName="logmill", Attributes={"RedrivePolicy": redrive})["QueueUrl"]
        tables = folder / "tables"
        write_history(folder / "logs")
        command = [binary, "run", folder / "logs", "--rollups", REPOSITORY / "rollups", "--tables", tables]
        subprocess.run(list(map(str, command)), check=True, stdout=subprocess.DEVNULL)
        workers = []
        try:
            for host in HOSTS:
                workers.append(serve(binary, host, REPOSITORY / "rollups", tables, queue, bucket))
            yield Fleet(bucket, tables, workers, queue, dead)
        finally:
            for worker in workers:
                worker.process.terminate()
            for worker in workers:
                worker.process.wait()
