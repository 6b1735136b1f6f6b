#!/usr/bin/env python3
"""Measures one worker, `logmill serve`, against small log files, and prints a report.

    cargo build --release
    python3 bench/serve.py [--log-files 1000] [--clients 1000] [--seconds 20]

S3 and SQS are ministack, on this machine and the same cores, which limits the throughput. So compare the worker's CPU time per
log file with that of `logmill run` over the same log files in a folder, without S3 and a queue. Needs Python 3.11; installs
everything else under the target directory.
"""

import argparse
import asyncio
import gzip
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from emulator import PROJECT, TARGET, Aws, free_port, get, in_venv, wait_for

TOKEN = "a-token-for-a-benchmark"
LINES = 100
NAME = "123456789012_elasticloadbalancing_us-east-2_app.shop.50dc6c495c0c9188_20261120T{:02}{:02}Z_10.0.0.1_{:08}.log.gz"
LINE = (
    "https 2026-11-20T{:02}:{:02}:{:02}.000001Z app/shop/50dc6c495c0c9188 192.0.2.{}:2817 10.0.0.1:80 0.001 0.020 0.000 200 200 34 366 "
    '"GET https://shop.example:443/e?e=view&uid={}&c=de HTTP/1.1" "curl/8.5.0" - - '
    "arn:aws:elasticloadbalancing:us-east-2:123456789012:targetgroup/web/73e2d6bc24d8a067 "
    '"Root=1-58337262-36d228ad5d99923122bbe354" "-" "-" 0 2026-11-20T10:00:00.000000Z "forward" "-" "-" "10.0.0.1:80" "200" '
    '"-" "-" TID_dc57cebed65b444ebc8177bb698fe166\n'
)
STEPS = ["wait", "look_up", "fetch", "compute", "put"]


def log_file(number):
    """The name and the bytes of a small log file, one of three hours."""
    hour = 9 + number % 3
    text = "".join(LINE.format(hour, j % 60, j % 60, j % 250, number * 7 + j) for j in range(LINES))
    return NAME.format(hour, 5 * (number % 12), number), gzip.compress(text.encode(), 6)


def queue(aws, name, keys):
    """A queue that announces these objects."""
    url = aws.sqs.create_queue(QueueName=name)["QueueUrl"]
    for at in range(0, len(keys), 10):
        entries = [{"Id": str(n), "MessageBody": message(key)} for n, key in enumerate(keys[at : at + 10])]
        aws.sqs.send_message_batch(QueueUrl=url, Entries=entries)
    return url


def message(key):
    return json.dumps({"version": 1, "log_files": [f"s3://logs/{key}"]})


class Worker:
    def __init__(self, logmill, aws, folder, name, *args):
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        command = [logmill, "serve", "--rollups", PROJECT / "bench/rollups", "--tables", f"s3://tables/{name}", "--allow", "s3://logs"]
        command += ["--listen", f"127.0.0.1:{self.port}", *args]
        env = aws.env | {"DISPATCH_TOKEN": TOKEN}
        self.process = subprocess.Popen(command, env=env, stderr=open(folder / f"{name}.log", "w"))
        wait_for(lambda: get(f"{self.url}/readyz"))

    def metrics(self):
        lines = (line.rsplit(" ", 1) for line in get(f"{self.url}/metrics").splitlines() if not line.startswith("#"))
        return {name: float(value) for name, value in lines}

    def cpu(self):
        """Seconds, user and system."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def peak_mb(self):
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) / 1024

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        if self.process.wait(60) != 0:
            sys.exit("the worker did not shut down cleanly")


def run_on_disk(logmill, folder, log_files):
    """CPU seconds of `logmill run` over the log files, minus those of a run over a single one: its start."""
    def cpu(files, name):
        logs = folder / name
        logs.mkdir()
        for key, bytes_ in files:
            (logs / key).write_bytes(bytes_)
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        command = [logmill, "run", logs, "--rollups", PROJECT / "bench/rollups", "--tables", folder / f"{name}-tables"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    return cpu(log_files, "all") - cpu(log_files[:1], "one")


def from_the_queue(logmill, aws, folder, log_files):
    url = queue(aws, "work", [key for key, _ in log_files])
    begun = time.monotonic()
    worker = Worker(logmill, aws, folder, "queue", "--queue-url", url)
    start_cpu = worker.cpu()
    deleted = 'logmill_messages_total{outcome="deleted"}'
    while (metrics := worker.metrics()).get(deleted, 0) < len(log_files):
        if time.monotonic() - begun > 600:
            sys.exit("the queue is not emptied")
        time.sleep(0.2)
    took, cpu, peak = time.monotonic() - begun, worker.cpu() - start_cpu, worker.peak_mb()
    worker.end()
    steps = {step: metrics[f'logmill_log_file_seconds_sum{{step="{step}"}}'] for step in STEPS}
    return took, cpu, peak, steps


async def clients(worker, keys, count, seconds):
    """So many clients at once, each posting one log file after another. Returns answers by status, and times of those that were staged."""
    answers, times, stop = Counter(), [], time.monotonic() + seconds

    async def client(number):
        while time.monotonic() < stop:
            body = message(keys[number % len(keys)]).encode()
            number += count
            begun = time.monotonic()
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", worker.port)
                head = f"POST /v1/log-files HTTP/1.1\r\nHost: w\r\nConnection: close\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: {len(body)}\r\n\r\n"
                writer.write(head.encode() + body)
                answer = await reader.read()
                writer.close()
                status = answer.split(b" ", 2)[1].decode() if answer else "cut off"
            except OSError as error:
                status = type(error).__name__
            answers[status] += 1
            if status == "200":
                times.append(time.monotonic() - begun)
            elif status == "503":
                # As the response asks.
                await asyncio.sleep(1)

    await asyncio.gather(*(client(number) for number in range(count)))
    return answers, sorted(times)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--logmill", type=Path, default=TARGET / "release/logmill")
    parser.add_argument("--log-files", type=int, default=1000)
    parser.add_argument("--clients", type=int, default=1000)
    parser.add_argument("--seconds", type=int, default=20)
    args = parser.parse_args()
    in_venv()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65536), hard))
    log_files = [log_file(number) for number in range(args.log_files)]
    count = len(log_files)
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        floor = run_on_disk(args.logmill, folder, log_files)
        aws = Aws(folder)
        try:
            for key, bytes_ in log_files:
                aws.s3.put_object(Bucket="logs", Key=key, Body=bytes_)
            took, cpu, peak, steps = from_the_queue(args.logmill, aws, folder, log_files)
            print(f"{count} log files of {LINES} lines, one message each, one rollup, {os.cpu_count()} cores with the emulator on them:\n")
            print(f"- {count / took:.0f} messages a second, start included; peak {peak:.0f} MB")
            print(f"- CPU: {1000 * cpu / count:.2f} ms a log file; `logmill run` over them in a folder: {1000 * floor / count:.2f} ms ({cpu / floor:.1f} ×)")
            print("- of a log file's time: " + ", ".join(f"{step} {1000 * steps[step] / count:.1f} ms" for step in STEPS) + "\n")

            worker = Worker(args.logmill, aws, folder, "http")
            idle = worker.peak_mb()
            answers, times = asyncio.run(clients(worker, [key for key, _ in log_files], args.clients, args.seconds))
            peak = worker.peak_mb()
            alive = worker.metrics()
            worker.end()
            said = ", ".join(f"{status}: {number}" for status, number in sorted(answers.items()))
            print(f"{args.clients} clients at once by HTTP for {args.seconds} s, each a log file at a time:\n")
            print(f"- answers: {said}")
            if times:
                staged = alive['logmill_log_files_total{outcome="staged"}']
                print(f"- 200 after {1000 * times[len(times) // 2]:.0f} ms in the median, {1000 * times[-1]:.0f} ms at most; staged: {staged:.0f}")
            print(f"- peak {peak:.0f} MB; {idle:.0f} MB before the first")
        finally:
            aws.end()


if __name__ == "__main__":
    main()
