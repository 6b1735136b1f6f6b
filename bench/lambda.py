#!/usr/bin/env python3
"""Measures the function lambda-dispatch, and prints a Markdown table.

    AWS_LC_SYS_NO_JITTER_ENTROPY=1 cargo build --profile lambda -p lambda-dispatch
    python3 bench/lambda.py TARGET/lambda/lambda-dispatch [--starts 20] [--invocations 500]

It runs under Lambda's runtime API, and sends to SQS or to a worker. All three are servers of this script; the latter two
use TLS with a certificate from `openssl`. They answer at once, so the times are those of the function and the
kernel: in AWS, each response of SQS takes some milliseconds more. CPU time is reported because Lambda gives a function
of 128 MB a fourteenth of a CPU. For a program of another architecture, only the size is reported. Python 3.11, standard
library only.
"""

import argparse
import hashlib
import json
import os
import platform
import queue
import shutil
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from pathlib import Path

# ELF's machine numbers.
MACHINES = {0x3E: "x86_64", 0xB7: "aarch64"}

# Root certificates as a function finds them: reading about 140 of them is part of its start.
SYSTEM_ROOTS = ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt"]

# Timeout of every step, in seconds.
PATIENCE = 30

EVENT = {
    "Records": [
        {
            "eventVersion": "2.1",
            "eventSource": "aws:s3",
            "awsRegion": "eu-west-1",
            "eventTime": "2026-11-20T10:05:09.123Z",
            "eventName": "ObjectCreated:Put",
            "userIdentity": {"principalId": "AWS:AIDAEXAMPLE"},
            "requestParameters": {"sourceIPAddress": "192.0.2.1"},
            "responseElements": {"x-amz-request-id": "C3D13FE58DE4C810", "x-amz-id-2": "FMyUVURIY8/IgAtTv8xRjskZQpcIZ9KG"},
            "s3": {
                "s3SchemaVersion": "1.0",
                "configurationId": "new-log-files",
                "bucket": {
                    "name": "logs",
                    "ownerIdentity": {"principalId": "A3NL1KOZZKExample"},
                    "arn": "arn:aws:s3:::logs",
                },
                "object": {
                    "key": "AWSLogs/123456789012/elasticloadbalancing/eu-west-1/2026/11/20/123456789012_elasticload"
                    "balancing_eu-west-1_app.shop.50dc6c495c0c9188_20261120T1005Z_10.0.1.7_b3c4d5e6.log.gz",
                    "size": 41245,
                    "eTag": "d41d8cd98f00b204e9800998ecf8427e",
                    "sequencer": "0055AED6DCD90281E5",
                },
            },
        }
    ]
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bootstrap", type=Path, help="the function's program")
    parser.add_argument("--starts", type=int, default=20, help="number of cold starts")
    parser.add_argument("--invocations", type=int, default=500, help="number of invocations of a warm function")
    arguments = parser.parse_args()

    machine = machine_of(arguments.bootstrap)
    rows = sizes(arguments.bootstrap)
    targets = []
    if machine == platform.machine():
        with tempfile.TemporaryDirectory() as folder:
            certificate = Certificate(Path(folder))
            targets = [Sqs(certificate), Worker(certificate)]
            rows += measure(arguments, targets)
    print_table([[machine, *(target.title for target in targets)], *rows])


def machine_of(program):
    with open(program, "rb") as file:
        head = file.read(20)
    if head[:4] != b"\x7fELF":
        sys.exit(f"{program} is not a Linux program")
    return MACHINES.get(int.from_bytes(head[18:20], "little"), "unknown")


def sizes(program):
    with tempfile.TemporaryFile() as file:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
            archive.write(program, "bootstrap")
        zipped = file.tell()
    size = program.stat().st_size
    return [["size", f"{size / 1e6:.2f} MB"], ["size, zipped", f"{zipped / 1e6:.2f} MB"]]


def measure(arguments, targets):
    """Each figure, for each target."""
    columns = []
    for target in targets:
        cold = [Function(arguments.bootstrap, target).cold() for _ in range(arguments.starts)]
        warm = Function(arguments.bootstrap, target).warm(arguments.invocations)
        columns.append(figures(cold, warm))
    return [[name, *(column[name] for column in columns)] for name in columns[0]]


def figures(cold, warm):
    polled, polled_cpu, answered, answered_cpu = zip(*cold)
    return {
        "start to first poll, median": milliseconds(statistics.median(polled)),
        "start to first poll, maximum": milliseconds(max(polled)),
        "CPU until then, median": milliseconds(statistics.median(polled_cpu)),
        "start to first answer, median": milliseconds(statistics.median(answered)),
        "start to first answer, maximum": milliseconds(max(answered)),
        "CPU since the poll, median": milliseconds(statistics.median(answered_cpu)),
        "warm invocation, median": milliseconds(statistics.median(warm.times)),
        "warm invocation, p99": milliseconds(statistics.quantiles(warm.times, n=100)[98]),
        "CPU of a warm invocation, mean": milliseconds(warm.cpu),
        "memory, peak": f"{warm.peak_bytes / 1e6:.1f} MB",
    }


def milliseconds(seconds):
    return f"{seconds * 1e3:.1f} ms" if seconds >= 0.01 else f"{seconds * 1e3:.2f} ms"


def print_table(rows):
    width = max(map(len, rows))  # the size is the same for all targets
    for at, row in enumerate(rows):
        print("| " + " | ".join([*row, *[""] * (width - len(row))]) + " |")
        if at == 0:
            print("|---|" + "--:|" * (width - 1))


class Certificate:
    """A certificate for 127.0.0.1, and a file with it and this machine's root certificates."""

    def __init__(self, folder):
        self.key, self.certificate, self.roots = (folder / name for name in ("key.pem", "certificate.pem", "roots.pem"))
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
            + ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2"]
            + ["-addext", "basicConstraints=critical,CA:FALSE"]
            + ["-keyout", self.key, "-out", self.certificate],
            check=True,
            capture_output=True,
        )
        with open(self.roots, "wb") as roots:
            for file in [*filter(os.path.exists, SYSTEM_ROOTS)][:1] + [self.certificate]:
                roots.write(Path(file).read_bytes())

    def context(self):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, self.key)
        return context


class Server:
    """HTTP/1.1 with keep-alive. `answer` gets the path and the body, and returns headers and a body."""

    def __init__(self, answer, context=None):
        self.answer = answer
        self.context = context
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            connection, _ = self.listener.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self.serve, args=[connection], daemon=True).start()

    def serve(self, connection):
        try:
            if self.context:
                connection = self.context.wrap_socket(connection, server_side=True)
            with connection, connection.makefile("rb") as requests:
                while line := requests.readline():
                    path = line.split()[1].decode()
                    headers, body = self.answer(path, read_body(requests))
                    lines = [f"{name}: {value}" for name, value in headers.items()]
                    head = "\r\n".join(["HTTP/1.1 200 OK", *lines, f"Content-Length: {len(body)}", "", ""])
                    connection.sendall(head.encode() + body)
        except (OSError, NothingMore):
            pass  # the function has ended


class NothingMore(Exception):
    pass


def read_body(requests):
    length, chunked = 0, False
    while (line := requests.readline().strip().lower()) != b"":
        name, _, value = line.partition(b":")
        if name == b"content-length":
            length = int(value)
        elif name == b"transfer-encoding":
            chunked = b"chunked" in value
    if not chunked:
        return requests.read(length)
    body = b""
    while size := int(requests.readline(), 16):
        body += requests.read(size)
        requests.readline()
    requests.readline()
    return body


class Sqs:
    title = "to SQS"

    def __init__(self, certificate):
        self.certificate = certificate
        self.server = Server(self.answer, certificate.context())
        endpoint = f"https://{self.server.address}"
        self.variables = {"QUEUE_URL": f"{endpoint}/123456789012/log-files", "AWS_ENDPOINT_URL_SQS": endpoint}

    @staticmethod
    def answer(path, body):
        sent = [
            {
                "Id": entry["Id"],
                "MessageId": "219f8380-5770-4cc2-8c3e-5c715e145f5e",
                "MD5OfMessageBody": hashlib.md5(entry["MessageBody"].encode()).hexdigest(),
            }
            for entry in json.loads(body)["Entries"]
        ]
        answer = {"Successful": sent, "Failed": []}
        return {"Content-Type": "application/x-amz-json-1.0"}, json.dumps(answer).encode()


class Worker:
    title = "to a worker"

    def __init__(self, certificate):
        self.certificate = certificate
        self.server = Server(lambda path, body: ({}, b""), certificate.context())
        self.variables = {"DISPATCH_URL": f"https://{self.server.address}", "DISPATCH_TOKEN": "token"}


class Function:
    """The function in a separate process, with its own runtime API."""

    def __init__(self, bootstrap, target):
        self.events = queue.Queue()
        self.polled = queue.Queue()  # when it has asked for an event
        self.answered = queue.Queue()  # when it has answered one, and with what
        self.number = 0
        api = Server(self.answer)
        self.started = time.perf_counter()
        self.process = subprocess.Popen(
            [bootstrap.resolve()],
            env={
                "AWS_LAMBDA_RUNTIME_API": api.address,
                "AWS_LAMBDA_FUNCTION_NAME": "lambda-dispatch",
                "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128",
                "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
                "AWS_REGION": "eu-west-1",
                "AWS_ACCESS_KEY_ID": "id",
                "AWS_SECRET_ACCESS_KEY": "key",
                "AWS_SESSION_TOKEN": "token",
                "SSL_CERT_FILE": str(target.certificate.roots),
                **target.variables,
            },
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def answer(self, path, body):
        if not path.endswith("/invocation/next"):
            self.answered.put((time.perf_counter(), path, body))
            return {}, b""
        self.polled.put(time.perf_counter())
        event = self.events.get()
        if event is None:
            raise NothingMore
        self.number += 1
        return {
            "Content-Type": "application/json",
            "Lambda-Runtime-Aws-Request-Id": f"8476a536-e9f4-11e8-9739-2dfe598c3f{self.number % 256:02x}",
            "Lambda-Runtime-Deadline-Ms": int((time.time() + 30) * 1000),
            "Lambda-Runtime-Invoked-Function-Arn": "arn:aws:lambda:eu-west-1:123456789012:function:lambda-dispatch",
        }, event

    def invoke(self):
        """Returns when the event was answered. The function must have polled for an event before."""
        self.events.put(json.dumps(EVENT).encode())
        at, path, body = self.answered.get(timeout=PATIENCE)
        if not path.endswith("/response") or json.loads(body)["sent"] != 1:
            sys.exit(f"the function failed: {path}: {body.decode()}")
        return at

    def cold(self):
        """Seconds from the start of the process to its first poll and to its first answer, and CPU seconds up to each."""
        polled = self.polled.get(timeout=PATIENCE) - self.started
        polled_cpu = self.cpu()
        answered = self.invoke() - self.started
        self.polled.get(timeout=PATIENCE)
        cpu = self.cpu()
        self.end()
        return polled, polled_cpu, answered, cpu - polled_cpu

    def warm(self, invocations):
        self.polled.get(timeout=PATIENCE)
        self.invoke()
        self.polled.get(timeout=PATIENCE)
        before = self.cpu()
        times = []
        for _ in range(invocations):
            begin = time.perf_counter()
            times.append(self.invoke() - begin)
            self.polled.get(timeout=PATIENCE)
        cpu = (self.cpu() - before) / invocations
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        peak = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
        self.end()
        return Warm(times, cpu, int(peak.split()[1]) * 1024)

    def cpu(self):
        """CPU seconds of all threads so far; `stat` has them only in steps of 10 ms."""
        tasks = Path(f"/proc/{self.process.pid}/task").glob("*/schedstat")
        return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9

    def end(self):
        self.process.kill()
        self.process.wait()
        self.events.put(None)


class Warm:
    def __init__(self, times, cpu, peak_bytes):
        self.times = times
        self.cpu = cpu
        self.peak_bytes = peak_bytes


if __name__ == "__main__":
    if not shutil.which("openssl"):
        sys.exit("this needs openssl")
    main()
