"""Runs programs and measures their costs."""

import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

KEPT_CLEAN = {"PYTHONDONTWRITEBYTECODE": "1"}  # no bytecode files in the repository


@dataclass
class Cost:
    cpu_s: float  # user and system, of the program and its children
    wall_s: float
    peak_mb: float


@dataclass
class Figure:
    """The median, minimum and maximum of all rounds."""

    median: float
    least: float
    most: float

    def text(self, format):
        return f"{self.median:{format}} ({self.least:{format}}–{self.most:{format}})"

    def __mul__(self, factor):
        return Figure(self.median * factor, self.least * factor, self.most * factor)


def figure(costs, of):
    values = [getattr(cost, of) for cost in costs]
    return Figure(statistics.median(values), min(values), max(values))


def ratio(costs, others, of):
    """The ratio of the medians, and the minimum and maximum ratio of a single round."""
    each = [getattr(one, of) / getattr(other, of) for one, other in zip(costs, others)]
    return Figure(figure(costs, of).median / figure(others, of).median, min(each), max(each))


def run(command, folder, cwd=None, env=None):
    """Runs the command and returns its costs. If it fails, exits."""
    log = folder / "log"
    with open(log, "wb") as output:
        began = time.monotonic()
        child = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=cwd,
            env={**os.environ, **KEPT_CLEAN, **(env or {})},
        )
        _, status, usage = os.wait4(child.pid, 0)
        wall_s = time.monotonic() - began
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != 0:
        text = log.read_text(errors="replace")
        sys.exit(f"{text[-4000:]}\nexit code {child.returncode}: {' '.join(child.args)[:1000]}")
    unit = 1 if platform.system() == "Darwin" else 1024  # unit of ru_maxrss
    return Cost(usage.ru_utime + usage.ru_stime, wall_s, usage.ru_maxrss * unit / 1e6)


def in_fresh_folder(program, target, keep=None):
    """Runs the program once in a temporary folder. With a folder `keep`, moves its results there and returns them."""
    kept = {}
    with tempfile.TemporaryDirectory(prefix="bench-", dir=target) as folder:
        out = Path(folder)
        cost = run(program.command(out), out, program.cwd, program.env)
        if keep and program.results:
            for table, file in program.results(out).items():
                kept[table] = keep / f"{table}-{program.name}.parquet"
                shutil.move(file, kept[table])
    return (cost, kept) if keep else cost


def in_turn(programs, rounds, target, say):
    """Runs A B C A B C, so that a slow minute of the machine affects all of them. Returns the costs by name."""
    costs = {program.name: [] for program in programs}
    for number in range(1, rounds + 1):
        for program in programs:
            cost = in_fresh_folder(program, target)
            costs[program.name].append(cost)
            if cost.wall_s > 0.2 or number == rounds:
                say(
                    f"  {number}: {program.name} {cost.cpu_s:.3f} CPU s, {cost.wall_s:.3f} s, {cost.peak_mb:.0f} MB",
                )
    return costs
