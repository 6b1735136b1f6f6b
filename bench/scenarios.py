"""The scenarios: which programs alternate, over which logs."""

import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import measure
import programs
from preparation import say
from programs import BENCH, PEERS_VENV, TARGET, Program

ROLLUPS, FIVE, FILTERED = BENCH / "rollups", BENCH / "rollups-five", BENCH / "rollups-filtered"
MAIN = ["floor", "decoder", "logmill", *(program.name for program in programs.peers(None))]  # the programs of the main table
START_UPS = 10  # runs per round of programs that take only milliseconds


@dataclass
class Scenario:
    name: str  # on the command line
    logs: Path
    programs: list[Program]
    runs_a_round: int = 1

    def check(self):
        """Runs each program once, which also loads the logs into the page cache. Exits if a result is wrong.

        Returns the groups and lines of each table.
        """
        with tempfile.TemporaryDirectory(prefix="bench-check-", dir=TARGET) as folder:
            results = []
            for program in self.programs:
                say(f"{self.name}: running {program.name} for its result")
                _, kept = measure.in_fresh_folder(program, TARGET, keep=Path(folder))
                results += [f"{table}={file}" for table, file in kept.items()]
            if not results:
                return {}
            say(f"{self.name}: comparing with the truth")
            return compare(self.logs, results)

    def measure(self, rounds):
        say(f"{self.name}: measuring")
        return measure.in_turn(self.programs, rounds * self.runs_a_round, TARGET, say)


def compare(logs, results):
    command = [PEERS_VENV / "bin/python", BENCH / "peers/check.py", logs, *results]
    compared = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    *said, last = compared.stdout.splitlines() or [""]
    for line in said:
        say(f"  {line}")
    if compared.returncode != 0:
        sys.exit(f"{last}\nresults differ: nothing to measure")
    return json.loads(last)


def main_table(built, against, logs, names):
    """One rollup, by logmill and all others that can compute it, filtered by these names."""
    hour = logs.hour()
    contenders = [
        programs.floor(built, hour),
        programs.floor(built, hour, "decoder", "decompression alone, logmill's", decoder="logmill"),
        programs.logmill(built, hour, ROLLUPS),
        *programs.peers(hour),
    ]
    chosen = [program for program in contenders if program.name in names]
    if against:
        chosen.append(programs.logmill(against, hour, ROLLUPS, "against", f"logmill of {against.folder}"))
    return Scenario("main", hour, chosen)


def whole_hour(built, logs):
    """Every log file has lines of every minute, so every group is in all of them."""
    hour = logs.whole_hour()
    return Scenario("whole-hour", hour, [programs.floor(built, hour), programs.logmill(built, hour, ROLLUPS)])


def five(built, logs):
    hour = logs.hour()
    one = programs.logmill(built, hour, ROLLUPS, "one", "one rollup")
    return Scenario("five", hour, [one, programs.logmill(built, hour, FIVE, "five", "five rollups")])


def filtered(built, logs):
    hour = logs.hour()
    logmill = programs.logmill(built, hour, FILTERED, "filtered", "logmill")
    return Scenario("filtered", hour, [programs.floor(built, hour), logmill])


def threads(built, logs):
    hour = logs.hour()
    contenders = []
    for count in (1, 2):
        said = "1 thread" if count == 1 else f"{count} threads"
        contenders += [
            programs.floor(built, hour, f"floor-{count}", f"decompression alone, {said}", count),
            programs.logmill(built, hour, ROLLUPS, f"logmill-{count}", f"logmill, {said}", count),
        ]
    return Scenario("threads", hour, contenders)


def small(built, logs, s3):
    """Many small log files, in a folder and on S3."""
    folder = logs.small()
    on_s3 = {"bucket": "s3://tables", "env": s3}
    contenders = [
        programs.floor(built, folder),
        programs.stage(built, folder, ROLLUPS, "staged", "in a folder, to staged"),
        programs.logmill(built, folder, ROLLUPS, "committed", "in a folder, to committed"),
        programs.stage(built, "s3://logs", ROLLUPS, "s3-staged", "on S3, to staged", **on_s3),
        programs.logmill(built, "s3://logs", ROLLUPS, "s3-committed", "on S3, to committed", **on_s3),
    ]
    return Scenario("small", folder, contenders)


def start_up(built, logs):
    one = logs.one()
    return Scenario(
        "start-up",
        one,
        [
            Program("nothing", "a program that does nothing (`true`)", lambda _: ["true"]),
            Program("version", "`logmill --version`", lambda _: [built.logmill, "--version"]),
            programs.logmill(built, one, ROLLUPS, "one-file", "`logmill run`, one log file, to a new table"),
        ],
        START_UPS,
    )
