"""Formats costs as Markdown tables, and fills page.md with them."""

import gzip
import zlib
from dataclasses import dataclass
from functools import cache
from string import Template

import chart
import machine
from measure import Figure, figure, ratio
from programs import BENCH, THREADS

# Each figure's current target and long-term goal.
GOALS = {
    "whole job ÷ decompression alone": ("1.25", "below 1.0"),
    "chDB ÷ logmill": ("2", "3"),
    "DuckDB ÷ logmill": ("3.5", "5"),
    "Polars ÷ logmill": ("2.5", "4"),
    "DataFusion ÷ logmill": ("2.5", "4"),
    "peak memory, MB": ("200", "120"),
    "CPU of a small log file, from path to staged, ms": ("2", "0.7"),
    "one thread ÷ two, wall": ("1.9", "1.98"),
}


@dataclass
class Size:
    """The size of a set of log files."""

    files: int
    packed_bytes: int
    text_bytes: int

    def __str__(self):
        return (
            f"{self.files:,} files, {self.packed_bytes / 1e6:,.0f} MB of gzip, {self.text_bytes / 1e6:,.0f} MB of text"
        )


@cache
def size(logs):
    files = sorted(logs.glob("*.gz"))
    text = 0
    for path in files:
        with gzip.open(path) as file:
            while chunk := file.read(1 << 20):
                text += len(chunk)
    return Size(len(files), sum(path.stat().st_size for path in files), text)


@dataclass
class Measured:
    """A scenario and its results."""

    scenario: object
    counted: dict  # groups and lines, by table
    costs: dict  # costs, by program
    size: Size

    def __getitem__(self, name):
        return self.costs[name]

    def table(self):
        """A row for each program, with its multiple of the floor if that was measured."""
        lines = [
            "| program | CPU s | wall s | peak MB | × decompression | MB/s of text per core |",
            "|---|--:|--:|--:|--:|--:|",
        ]
        for program in self.scenario.programs:
            costs = self[program.name]
            cpu, wall, peak = (figure(costs, of) for of in ("cpu_s", "wall_s", "peak_mb"))
            multiple = "–"
            if "floor" in self.costs:
                multiple = "1" if program.name == "floor" else ratio(costs, self["floor"], "cpu_s").text(".2f")
            speed = self.size.text_bytes / 1e6 / cpu.median
            lines.append(
                f"| {program.title} | {cpu.text('.2f')} | {wall.text('.2f')} | {peak.median:.0f} | {multiple} | {speed:.0f} |"
            )
        return "\n".join(lines)


def main_table(measured):
    return measured.table()


def five(measured):
    more = ratio(measured["five"], measured["one"], "cpu_s")
    lines = ["| | CPU s | wall s | peak MB |", "|---|--:|--:|--:|"]
    for program in measured.scenario.programs:
        cpu, wall, peak = (figure(measured[program.name], of) for of in ("cpu_s", "wall_s", "peak_mb"))
        lines.append(f"| {program.title} | {cpu.text('.2f')} | {wall.text('.2f')} | {peak.median:.0f} |")
    return "\n".join([*lines, f"| five ÷ one | {more.text('.2f')} | | |"])


def thread_scaling(measured):
    if measured is None:
        return "Not measured: this machine has only one CPU."
    lines = ["| | one thread, wall s | two threads, wall s | one ÷ two |", "|---|--:|--:|--:|"]
    for name, title in (("floor", "decompression alone"), ("logmill", "logmill")):
        one, two = measured[f"{name}-1"], measured[f"{name}-2"]
        lines.append(
            f"| {title} | {figure(one, 'wall_s').text('.2f')} | {figure(two, 'wall_s').text('.2f')} "
            f"| {ratio(one, two, 'wall_s').text('.2f')} |"
        )
    return "\n".join(lines)


def per_file(measured, name, of):
    """Milliseconds per log file."""
    return figure(measured[name], of) * (1000 / measured.size.files)


def small(measured):
    lines = ["| of each log file | CPU ms | wall ms | peak MB |", "|---|--:|--:|--:|"]
    for program in measured.scenario.programs:
        cpu, wall = (per_file(measured, program.name, of) for of in ("cpu_s", "wall_s"))
        peak = figure(measured[program.name], "peak_mb")
        lines.append(f"| {program.title} | {cpu.text('.2f')} | {wall.text('.2f')} | {peak.median:.0f} |")
    return "\n".join(lines)


def start_up(measured):
    lines = ["| | CPU ms | wall ms |", "|---|--:|--:|"]
    for program in measured.scenario.programs:
        cpu, wall = (figure(measured[program.name], of) * 1000 for of in ("cpu_s", "wall_s"))
        lines.append(f"| {program.title} | {cpu.text('.1f')} | {wall.text('.1f')} |")
    return "\n".join(lines)


# The table of each scenario.
TABLES = {
    "main": main_table,
    "whole-hour": main_table,
    "five": five,
    "filtered": main_table,
    "threads": thread_scaling,
    "small": small,
    "start-up": start_up,
}


def against_fastest(main, peer):
    """The ratio of a peer's fastest form to logmill."""
    forms = [name for name in main.costs if name.split("-")[0] == peer]
    fastest = min(forms, key=lambda name: figure(main[name], "cpu_s").median)
    return ratio(main[fastest], main["logmill"], "cpu_s")


def goals(measured):
    main, threads = measured["main"], measured.get("threads")
    peaks = figure(main["logmill"], "peak_mb")
    reached: dict[str, Figure | None] = {
        "whole job ÷ decompression alone": ratio(main["logmill"], main["floor"], "cpu_s"),
        "chDB ÷ logmill": against_fastest(main, "chdb"),
        "DuckDB ÷ logmill": against_fastest(main, "duckdb"),
        "Polars ÷ logmill": against_fastest(main, "polars"),
        "DataFusion ÷ logmill": against_fastest(main, "datafusion"),
        "peak memory, MB": peaks,
        "CPU of a small log file, from path to staged, ms": per_file(measured["small"], "staged", "cpu_s"),
        "one thread ÷ two, wall": threads and ratio(threads["logmill-1"], threads["logmill-2"], "wall_s"),
    }
    return "\n".join(
        f"| {name} | {reached[name].text('.0f' if 'MB' in name else '.2f') if reached[name] else '–'} | {to_reach} | {aim} |"
        for name, (to_reach, aim) in GOALS.items()
    )


def gzipped_bytes(path):
    """The compressed size of a file."""
    packer, packed = zlib.compressobj(6, zlib.DEFLATED, 31), 0
    with open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            packed += len(packer.compress(chunk))
    return packed + len(packer.flush())


def write(folder, measured, facts, built, rounds):
    """Writes the page and its chart. Both are complete before they replace the old ones."""
    main, filtered, small_ones = (measured[name] for name in ("main", "filtered", "small"))
    reference = main.counted["reference"]
    text = Template((BENCH / "page.md").read_text()).substitute(
        whole_job=f"{ratio(main['logmill'], main['floor'], 'cpu_s').median:.2f}",
        main=main_table(main),
        threads=THREADS,
        rounds=rounds,
        goals=goals(measured),
        hour_size=main.size,
        lines=f"{reference['lines']:,}",
        line_bytes=f"{main.size.text_bytes / reference['lines']:.0f}",
        groups=f"{reference['groups']:,}",
        machine="\n".join(f"| {name} | {fact} |" for name, fact in facts.items()),
        whole_hour_size=measured["whole-hour"].size,
        whole_hour=main_table(measured["whole-hour"]),
        five=five(measured["five"]),
        filtered_share=f"{filtered.counted['failures']['lines'] / reference['lines']:.1%}".replace("%", " %"),
        filtered=main_table(filtered),
        thread_scaling=thread_scaling(measured.get("threads")),
        small_size=small_ones.size,
        small_packed=f"{small_ones.size.packed_bytes / small_ones.size.files / 1000:.0f}",
        small=small(small_ones),
        ministack=machine.version("ministack", "tests/requirements.txt"),
        start_up=start_up(measured["start-up"]),
        binary_mb=f"{built.logmill.stat().st_size / 1e6:.1f}",
        binary_gzip_mb=f"{gzipped_bytes(built.logmill) / 1e6:.1f}",
    )
    bars = [
        (program.title, ratio(main[program.name], main["floor"], "cpu_s").median) for program in main.scenario.programs
    ]
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in (("performance.svg", chart.bars(bars)), ("performance.md", text)):
        part = folder / f".{name}.part"
        part.write_text(content)
        part.rename(folder / name)
