#!/usr/bin/env python3
"""Measures logmill against decompression alone and against peers, and writes docs/performance.md.

    python3 bench/run.py                                  all of it, and the page
    python3 bench/run.py --only floor,logmill             programs of the main table, printed
    python3 bench/run.py --only filtered,start-up         other scenarios, printed
    python3 bench/run.py --only logmill --against FOLDER  this build and another one, alternating

Builds logmill, generates the data and installs the peers if they are missing. Nothing is timed before all results have been
checked. The page is written at the very end, and only if everything was measured. See bench/README.md.
Python 3.11, standard library only.
"""

import argparse
import sys
from contextlib import ExitStack
from pathlib import Path

import machine
import page
import preparation
import scenarios
from preparation import TEXT_BYTES, Logs, say
from programs import REPOSITORY, TARGET, THREADS

ROUNDS_OF_A_PAGE_MIN = 3


def options():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument(
        "--only", help=f"programs of the main table, or scenarios: {', '.join(page.TABLES)}; separated by commas"
    )
    arguments.add_argument("--rounds", type=int, default=5, help="0 only compares the results")
    arguments.add_argument(
        "--data", type=Path, help="logs to use instead of the generated hour"
    )
    arguments.add_argument(
        "--bytes", type=float, default=TEXT_BYTES, help="bytes of text to generate; use other values than the default only for trials"
    )
    arguments.add_argument(
        "--binary", type=Path, help="a folder with logmill and gunzip, instead of a build"
    )
    arguments.add_argument(
        "--against", type=Path, help="a folder of another build, to alternate with the first"
    )
    arguments.add_argument("--output", type=Path, help="the folder for the page, instead of docs/")
    return arguments.parse_args()


def page_folder(given):
    """The folder for the page, or None and the reason."""
    if given.only or given.data or given.against:
        return None, "only a part was measured, or other logs or builds"
    if given.rounds < ROUNDS_OF_A_PAGE_MIN:
        return None, f"fewer than {ROUNDS_OF_A_PAGE_MIN} rounds"
    if given.bytes != TEXT_BYTES and not given.output:
        return None, "a trial, with no --output"
    return given.output or REPOSITORY / "docs", None


def asked_for(only):
    """The scenarios, and the programs of the main table, that `--only` names. Without it, all."""
    if only is None:
        return set(page.TABLES), set(scenarios.MAIN)
    wanted = set(only.split(","))
    # By name, or by the name's first part: `duckdb` selects `duckdb-one` and `duckdb-re`.
    found = {name: {name, name.split("-")[0]} & wanted for name in scenarios.MAIN}
    unknown = wanted - set(page.TABLES) - set().union(*found.values())
    if unknown:
        known = ", ".join([*scenarios.MAIN, *page.TABLES])
        sys.exit(f"no such program or scenario: {', '.join(sorted(unknown))}; there are {known}")
    programs = {name for name in scenarios.MAIN if found[name] or "main" in wanted}
    return wanted & set(page.TABLES) | ({"main"} if programs else set()), programs


def choose(given, built, against, logs, stack):
    """The requested scenarios. Generates their logs, and starts S3 if needed."""
    names, programs = asked_for(given.only)
    if THREADS < 2 and "threads" in names:
        say("threads: not measured, because there is only one CPU")
        names.remove("threads")

    def small():
        return scenarios.small(built, logs, stack.enter_context(preparation.s3(logs.small())))

    scenario = {
        "main": lambda: scenarios.main_table(built, against, logs, programs),
        "whole-hour": lambda: scenarios.whole_hour(built, logs),
        "five": lambda: scenarios.five(built, logs),
        "filtered": lambda: scenarios.filtered(built, logs),
        "threads": lambda: scenarios.threads(built, logs),
        "small": small,
        "start-up": lambda: scenarios.start_up(built, logs),
    }
    return [make() for name, make in scenario.items() if name in names]


def main():
    given = options()
    asked_for(given.only)  # reports a wrong name before the build
    folder, no_page = page_folder(given)
    TARGET.mkdir(parents=True, exist_ok=True)
    preparation.install_peers()
    built = preparation.build(given.binary)
    against = given.against and preparation.build(given.against)
    facts = machine.facts(built, built_here=given.binary is None)  # now, because the repository may change during the measurement
    logs = Logs(given.bytes, given.data and given.data.resolve())

    with ExitStack() as stack:
        chosen = choose(given, built, against, logs, stack)
        counted = {scenario.name: scenario.check() for scenario in chosen}
        if given.rounds < 1:
            return
        measured = {}
        for scenario in chosen:
            costs = scenario.measure(given.rounds)
            measured[scenario.name] = page.Measured(scenario, counted[scenario.name], costs, page.size(scenario.logs))

    for name, result in measured.items():
        print(f"\n{name}: {result.size}; medians of {given.rounds} rounds\n\n{page.TABLES[name](result)}")
    if folder is None:
        say(f"\nno page: {no_page}")
    else:
        page.write(folder, measured, facts, built, given.rounds)
        say(f"\n{folder / 'performance.md'} written")


if __name__ == "__main__":
    main()
