"""Checks infra/prove, which only a real AWS account can run completely.

    python3 tests/prove.py rows         # compares rows in the shapes of Athena and of logmill
    python3 tests/prove.py documented   # finds each query of the documentation in infra/prove.d/queries.sql
    AWS_ENDPOINT_URL=… python3 tests/prove.py emulator FOLDER   # runs it against an emulator of AWS, and the workers that it asks for
"""

import importlib.machinery
import importlib.util
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import threading
from pathlib import Path

from checks import Checks

PROJECT = Path(__file__).resolve().parent.parent
PROVE = PROJECT / "infra" / "prove"


def main():
    mode, *arguments = sys.argv[1:]
    loader = importlib.machinery.SourceFileLoader("prove", str(PROVE))
    prove = importlib.util.module_from_spec(importlib.util.spec_from_loader("prove", loader))
    loader.exec_module(prove)
    checks = Checks()
    {"rows": rows, "documented": documented, "emulator": emulator}[mode](prove, checks, *arguments)
    return checks.close()


# --- Rows ------------------------------------------------------------------------------------------------------------

# A row of each type, as GetQueryResults returns it, and as `logmill query --format json` prints it. The shapes:
# https://docs.aws.amazon.com/athena/latest/APIReference/API_GetQueryResults.html, and the texts of types as PyAthena reads them:
# https://github.com/pyathena-dev/PyAthena/blob/master/pyathena/converter.py
TYPES = [
    ("event", "varchar", "a, \"b\"", '"a, \\"b\\""'),
    ("empty", "varchar", "", '""'),
    ("missing", "bigint", None, "null"),
    ("n", "bigint", "9007199254740993", "9007199254740993"),
    ("status", "integer", "204", "204"),
    ("amount", "double", "1158.75", "1158.75"),
    ("large", "double", "1.0E10", "10000000000.0"),
    ("total", "decimal", "99999999999999999999999999999999999999", "99999999999999999999999999999999999999"),
    ("cents", "decimal", "12.50", "12.5"),
    ("minute", "timestamp with time zone", "2026-11-20 10:05:00.000 UTC", '"2026-11-20T10:05:00Z"'),
    ("time", "timestamp", "2026-11-20 10:05:00.123", '"2026-11-20T10:05:00.123"'),
    ("date", "date", "2026-11-20", '"2026-11-20"'),
    ("users", "varbinary", "02 0c 01 00 40 93 d7 3b", '"020c01004093d73b"'),
    ("is_other", "boolean", "false", "false"),
    ("list", "array", "[a, b]", '["a", "b"]'),
]


def answer(columns, *rows):
    return {
        "ResultSet": {
            "Rows": [
                {"Data": [{} if text is None else {"VarCharValue": text} for text in row]} for row in [[name for name, _ in columns], *rows]
            ],
            "ResultSetMetadata": {"ColumnInfo": [{"Name": name, "Label": name, "Type": kind} for name, kind in columns]},
        },
        "UpdateCount": 0,
    }


def rows(prove, checks):
    columns = [(name, kind) for name, kind, _, _ in TYPES]
    theirs, kinds = prove.athena_rows(answer(columns, [text for _, _, text, _ in TYPES]))
    printed = "{" + ", ".join(f'"{name}": {text}' for name, _, _, text in TYPES) + "}\n"
    ours = prove.logmill_rows(printed)
    checks.equal("every type is equal", prove.compare_rows(theirs, ours, kinds, 1e-9), "")
    other = {"varchar": '"c"', "double": "1.5", "timestamp": '"2026-11-20T10:05:01Z"', "date": '"2026-11-21"', "varbinary": '"02"'}
    for at, (name, kind, text, _) in enumerate(TYPES):
        changed = [*ours[0]]
        changed[at] = json.loads(other.get(kind.partition(" ")[0], '"1"'))
        changed[at] = str(changed[at])
        checks.check(f"another {name} differs", [] if prove.compare_rows(theirs, [changed], kinds, 1e-9) else [f"{text} as {changed[at]}"])
        changed[at] = None
        if text is not None:
            checks.check(f"no {name} differs", [] if prove.compare_rows(theirs, [changed], kinds, 1e-9) else [text])

    two = [("event", "varchar"), ("amount", "double")]
    theirs, kinds = prove.athena_rows(answer(two, ["view", None], ["signup", "0.1"], ["signup", "0.1"]))
    signup, view = ["signup", "0.10000000000000002"], ["view", None]
    checks.equal("the order does not matter, nor the last digit", prove.compare_rows(theirs, [signup, view, signup], kinds, 1e-9), "")
    for what, ours in [("twice another row", [signup, view, view]), ("a row less", [signup, view]), ("a row more", [signup, view] * 2)]:
        checks.check(what, [] if prove.compare_rows(theirs, ours, kinds, 1e-9) else [ours])
    checks.equal("nothing is equal to nothing", prove.compare_rows(prove.athena_rows(answer(two))[0], [], kinds, 1e-9), "")


# --- Queries -----------------------------------------------------------------------------------------------------------


def documented(prove, checks):
    listed = [in_one_line(each.sql) for each in prove.statements_in(prove.QUERIES.read_text())]
    found = 0
    for path in [PROJECT / "README.md", *sorted((PROJECT / "docs").glob("*.md")), PROJECT / "demo"]:
        text = path.read_text()
        blocks = re.findall(r'ask "\n?(.*?)"', text, re.DOTALL) if path.name == "demo" else re.findall(r"```sql\n(.*?)```", text, re.DOTALL)
        for block in blocks:
            for statement in prove.statements_in(re.sub(r"(?m)^ +", "", block)):
                sql = in_one_line(statement.sql).replace("logmill.", "").replace("DATE '2026-11-20'", "current_date")
                # Rollups read the log, only `logmill query` has tables of the ledgers, alerts are only for logmill, and in an evening little
                # becomes final.
                others = r"FROM (alb_\w+_logs|elb_logs|nlb_tls_logs|log_files|failed_lines|final_until)\b"
                if not statement.in_logmill or path.name == "alerts.md" or re.search(others, sql):
                    continue
                found += 1
                checks.check(f"{path.name}: {sql[:60]}", [] if sql in listed else ["infra/prove.d/queries.sql lacks it"])
    checks.check("documented queries are found", [] if found >= 6 else [found])
    rules = re.search(r"\n### States\n.*?\n\n?\|(.*?)\n\n", (PROJECT / "docs" / "sql.md").read_text(), re.DOTALL)[1]
    calls = [call for row in rules.splitlines() for call in re.findall(r"`([^`]*)`", row.rstrip("| ").rpartition("|")[2])]
    # The names of states that follow from a result's.
    calls = [call for call in calls if not re.search(r"\b[acdghmps]__", call)]
    for call in calls:
        pattern = re.sub(r"\b[xnc](?=\b|__sum)", r"\\w+", re.escape(call))
        checks.check(f"docs/sql.md: {call}", [] if any(re.search(pattern, sql) for sql in listed) else ["no statement has it"])
    checks.check("states are found", [] if len(calls) >= 8 else calls)


def in_one_line(sql):
    return " ".join(sql.split())


# --- An emulator --------------------------------------------------------------------------------------------------------


def emulator(_, checks, folder):
    """Runs all of it but Athena, the balancer and workers of AWS. Starts the workers that it asks for."""
    # Version 1 of the AWS CLI sends the requests of SQS to AWS, whatever AWS_ENDPOINT_URL says, unless it is an option.
    aws = Path(folder, "aws")
    aws.write_text(f'#!/bin/sh\nexec {shlex.quote(shutil.which("aws"))} --endpoint-url "$AWS_ENDPOINT_URL" "$@"\n')
    aws.chmod(0o755)
    os.environ["PATH"] = f"{folder}:{os.environ['PATH']}"
    report = Path(folder, "report.md")
    command = [PROVE, "--name", "proof", "--yes", "--report", report, "--without-athena", "--without-collector"]
    command += ["--dispatch", "direct", "--compute", "none", "--plain"]
    running = subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    worker = None
    for line in running.stdout:
        print(line, end="", flush=True)
        _, found, serve = line.partition("start a worker, and stop the one before: ")
        if found:
            stop(worker)
            worker = subprocess.Popen([*shlex.split(serve), "--commit-interval", "2"], stderr=subprocess.PIPE, text=True)
            threading.Thread(target=worker.stderr.read, daemon=True).start()
        if line.startswith("stop the worker"):
            stop(worker)
    stop(worker)
    checks.equal("infra/prove ends well", running.wait(), 0)
    text = report.read_text()
    print(text)
    for result, expected in [("PASS", 9), ("SKIP", 4), ("FAIL", 0)]:
        checks.equal(f"steps with {result}", text.count(f" | {result} | "), expected)
    left = subprocess.run(["aws", "s3", "ls"], capture_output=True, text=True, check=True).stdout
    checks.equal("no bucket is left", left, "")


def stop(worker):
    if worker:
        worker.terminate()
        worker.wait()


if __name__ == "__main__":
    sys.exit(main())
