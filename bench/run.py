#!/usr/bin/env python3
"""Measures logmill against the bare decompression of its input and against peers, and writes docs/performance.md.

    python3 bench/run.py                                  all of it, and the page
    python3 bench/run.py --only floor,logmill             programs of the main table, printed
    python3 bench/run.py --only filtered,start-up         other scenarios, printed
    python3 bench/run.py --only logmill --against FOLDER  this build and another one, in turn

Builds logmill, makes the data and installs the peers if they are not there yet. Nothing is timed before all results have been
compared with the truth. The page is written at the very end, and only if nothing was left out. See bench/README.md.
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
        "--only", help=f"programs of the main table, or scenarios: {', '.join(page.TABLES)}; with commas between"
    )
    arguments.add_argument("--rounds", type=int, default=5, help="0 only compares the results")
    arguments.add_argument(
        "--data", type=Path, help="other logs than the generated ones, for what is measured over the hour"
    )
    arguments.add_argument(
        "--bytes", type=float, default=TEXT_BYTES, help="of text to generate; others than the default's are for trials"
    )
    arguments.add_argument(
        "--binary", type=Path, help="a folder like target/release with logmill and gunzip, instead of a build"
    )
    arguments.add_argument(
        "--against", type=Path, help="such a folder of another build, measured in turn with the first"
    )
    arguments.add_argument("--output", type=Path, help="the folder for the page, instead of docs/")
    return arguments.parse_args()


def page_folder(given):
    """Where the page goes; None, and why, if there is to be none."""
    if given.only or given.data or given.against:
        return None, "not all was measured, or something else"
    if given.rounds < ROUNDS_OF_A_PAGE_MIN:
        return None, f"fewer than {ROUNDS_OF_A_PAGE_MIN} rounds"
    if given.bytes != TEXT_BYTES and not given.output:
        return None, "a trial, with no --output"
    return given.output or REPOSITORY / "docs", None


def choose(given, built, against, logs, stack):
    """The scenarios, and of the main one the programs, that are asked for. Their logs are made, and S3 started."""
    wanted = set(given.only.split(",")) if given.only else None
    chosen = []

    main_wanted = wanted is None or bool(wanted - (set(page.TABLES) - {"main"}))
    if main_wanted:
        main = scenarios.main_table(built, against, logs)
        by_program = (wanted or set()) - set(page.TABLES)
        if by_program and "main" not in wanted:
            # By name, or by the name's first part: `duckdb` is `duckdb-one` and `duckdb-re`.
            names = {
                program.name: {program.name, program.name.split("-")[0], "logmill" if program.name == "against" else ""}
                for program in main.programs
            }
            unknown = by_program - set().union(*names.values())
            if unknown:
                sys.exit(
                    f"no such program or scenario: {', '.join(sorted(unknown))}; there are {', '.join([*names, *page.TABLES])}"
                )
            main.programs = [program for program in main.programs if names[program.name] & by_program]
        chosen.append(main)

    def is_wanted(name):
        return wanted is None or name in wanted

    for name, make in {
        "whole-hour": scenarios.whole_hour,
        "five": scenarios.five,
        "filtered": scenarios.filtered,
        "threads": scenarios.threads,
        "small": scenarios.small,
    }.items():
        if name == "threads" and is_wanted(name) and THREADS < 2:
            say("threads: not measured, there is but one CPU")
        elif is_wanted(name):
            chosen.append(make(built, logs))
    if is_wanted("s3"):
        variables = stack.enter_context(preparation.s3(logs.small(share=0.1)))
        chosen.append(scenarios.small_on_s3(built, logs, variables))
    if is_wanted("start-up"):
        chosen.append(scenarios.start_up(built, logs))
    return chosen


def main():
    given = options()
    folder, no_page = page_folder(given)
    TARGET.mkdir(parents=True, exist_ok=True)
    preparation.install_peers()
    built = preparation.build(given.binary)
    against = given.against and preparation.build(given.against)
    facts = machine.facts(built, built_here=given.binary is None)
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
        say(f"\n{folder / 'performance.md'} is written")


if __name__ == "__main__":
    main()
