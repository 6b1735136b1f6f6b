#!/usr/bin/env python3
"""S3 and SQS on this machine: ministack, of the version in tests/requirements.txt.

    python3 bench/emulator.py FOLDER

puts the folder's log files into the bucket `logs`, creates a bucket `tables`, prints the environment variables for clients
as JSON, and runs until its standard input ends.
"""

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
TARGET = Path(os.environ.get("CARGO_TARGET_DIR") or Path.home() / ".cache/logmill/target").resolve()
VENV = TARGET / "bench-serve-venv"
REQUIREMENTS = PROJECT / "tests/requirements.txt"


def in_venv():
    """Restarts this script in a virtual environment with the emulator. Recreates the environment if the requirements have changed."""
    if Path(sys.prefix) == VENV:
        return
    wanted, made_from = REQUIREMENTS.read_text(), VENV / "requirements.txt"
    if not made_from.exists() or made_from.read_text() != wanted:
        subprocess.run([sys.executable, "-m", "venv", "--clear", VENV], check=True)
        subprocess.run([VENV / "bin/python", "-m", "pip", "install", "--quiet", "-r", REQUIREMENTS], check=True)
        made_from.write_text(wanted)
    os.execv(VENV / "bin/python", [VENV / "bin/python", *sys.argv])


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def get(url):
    with urllib.request.urlopen(url, timeout=10) as answer:
        return answer.read().decode()


def wait_for(is_so, patience=60):
    begun = time.monotonic()
    while True:
        try:
            return is_so() or True
        except OSError:
            if time.monotonic() - begun > patience:
                raise
            time.sleep(0.1)


class Aws:
    """The emulator, with buckets and queues."""

    def __init__(self, folder):
        endpoint = f"http://127.0.0.1:{(port := free_port())}"
        own = {
            "BIND_HOST": "127.0.0.1",
            "GATEWAY_PORT": str(port),
            "LOG_LEVEL": "ERROR",
            "S3_PERSIST": "0",
            "PERSIST_STATE": "0",
        }
        log = open(folder / "emulator.log", "w")
        self.process = subprocess.Popen(
            [VENV / "bin/ministack"], env=os.environ | own, stdout=log, stderr=log, cwd=folder
        )
        self.variables = {
            "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": "us-east-1", "AWS_ENDPOINT_URL": endpoint,
        }  # fmt: skip
        self.env = os.environ | self.variables
        wait_for(lambda: get(f"{endpoint}/_ministack/health"))
        import botocore.session

        session = botocore.session.get_session()
        session.set_credentials("test", "test")
        self.s3, self.sqs = (session.create_client(name, "us-east-1", endpoint_url=endpoint) for name in ("s3", "sqs"))
        for bucket in ("logs", "tables"):
            self.s3.create_bucket(Bucket=bucket)

    def end(self):
        self.process.terminate()
        self.process.wait()


def main():
    in_venv()
    with tempfile.TemporaryDirectory(prefix="bench-emulator-", dir=TARGET) as folder:
        aws = Aws(Path(folder))
        try:
            for path in sorted(Path(sys.argv[1]).glob("*.gz")):
                aws.s3.put_object(Bucket="logs", Key=path.name, Body=path.read_bytes())
            print(json.dumps(aws.variables), flush=True)
            sys.stdin.read()
        finally:
            aws.end()


if __name__ == "__main__":
    main()
