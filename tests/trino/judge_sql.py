"""Compares the SQL of rollups with Trino 435: each expression of expressions.py is a column of a rollup over awkward log lines, and
logmill must return what Trino returns over the same lines, read with AWS's own DDL.

    python3 tests/trino/judge_sql.py LOGMILL CACHE

The outcomes are: *equal*: the same values, or both fail, or neither supports it. *refused*: Trino supports it, and logmill refuses it with a message
when the rollup is loaded. *listed*: another result, or a result where Trino has none, and docs/sql.md lists the expression
under its differences. Anything else is a failure, and so is a listed difference that no longer differs.
"""

import math
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import chain
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

import airlift
import awkward
import expressions
import raw
import server
from checks import Checks
from logmill import Logmill

REPOSITORY = HERE.parent.parent
PAGE = REPOSITORY / "docs" / "sql.md"
DAY = "date_trunc('day', from_iso8601_timestamp(time))"
ROWS = "SELECT trace_id AS line, {} FROM alb_access_logs"
GROUPS = f"SELECT {DAY} AS day, type, request_proto, {{}} FROM alb_access_logs GROUP BY 1, 2, 3"
CONDITION = "SELECT trace_id AS line, {} FROM alb_access_logs WHERE {}"
SUM_TOLERANCE = 1e-12


@dataclass
class Trial:
    """An expression, and its result in each of the two: a refusal, a failure, or values by key."""

    expression: str
    sql: str
    keys: list[str]
    ours: dict = field(default_factory=dict)
    trinos: dict = field(default_factory=dict)
    our_type: str = ""
    trino_type: str = ""
    refusal: str = ""
    failure: str = ""
    unstorable: bool = False  # whether lines are left out only because a table can't store their time
    trino_error: str = ""

    def outcome(self):
        """The outcome, and a description."""
        if self.refusal:
            return ("equal", "neither knows it") if self.trino_error else ("refused", self.refusal)
        if self.failure and self.trino_error:
            return "equal", "both fail"
        if self.failure and not self.unstorable:
            return "differs", f"logmill fails: {self.failure}"
        if self.trino_error:
            return "differs", f"Trino: {self.trino_error}"
        wrong = [key for key in self.trinos | self.ours if not same(self.value(self.ours, key), self.value(self.trinos, key), self.expression)]
        if self.unstorable:
            wrong = [key for key in wrong if key in self.ours or not is_unstorable(self.trinos[key])]
        if wrong:
            ours, trinos = self.value(self.ours, wrong[0]), self.value(self.trinos, wrong[0])
            return "differs", f"{len(wrong)} of {len(self.trinos)}: {wrong[0]}: logmill {shown(ours)}, Trino {shown(trinos)}"
        return "equal", "" if kind(self.our_type) == kind(self.trino_type) else f"{self.our_type} for {self.trino_type}"

    @staticmethod
    def value(values, key):
        return values.get(key, "no row")


def is_unstorable(value):
    """Whether Trino's value is a time before the year 1 or after 9999, which Python has no type for either."""
    return isinstance(value, str) and value.startswith(("+", "-", "0000"))


def as_client(value):
    """A value as Trino's client returns it: a local time as if in UTC, one in a named zone as text, and an interval as text."""
    if isinstance(value, timedelta):
        sign = "-" if value < timedelta() else ""
        hours, rest = divmod(abs(value).seconds, 3600)
        return f"{sign}{abs(value).days} {hours:02}:{rest // 60:02}:{rest % 60:02}.{abs(value).microseconds // 1000:03}"
    if not isinstance(value, datetime):
        return value
    zone = getattr(value.tzinfo, "key", "UTC")
    if zone == "UTC":
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value
    return f"{value.replace(tzinfo=None).isoformat(' ', 'milliseconds')} {zone}"


def same(ours, trinos, expression):
    ours = as_client(ours)
    if expression.startswith("tdigest_agg(") and ours and trinos:
        # The places of centroids depend on the order of values. judge_tables.py checks the quantiles.
        return digested(ours) == digested(trinos)
    if isinstance(ours, Decimal) and isinstance(trinos, float):
        ours = float(ours)
    if isinstance(ours, float) and isinstance(trinos, (int, float)) or isinstance(trinos, float) and isinstance(ours, int):
        ours, trinos = float(ours), float(trinos)
        return ours == trinos or (math.isnan(ours) and math.isnan(trinos)) or math.isclose(ours, trinos, rel_tol=SUM_TOLERANCE)
    return type(ours) is type(trinos) and ours == trinos


def digested(digest):
    """A t-digest's minimum and maximum, the number of values, and their mean."""
    least, greatest, total, means, weights = airlift.read_tdigest(digest)
    return least, greatest, total, sum(weights), f"{math.fsum(map(math.prod, zip(means, weights))) / total:.9e}"


def kind(name):
    """A type without its length or precision."""
    name = re.sub(r"\([\d, ]+\)", "", name).removesuffix(" with time zone")
    return {"char": "varchar", "HyperLogLog": "varbinary", "unknown": "varchar"}.get(name, name)


def shown(value):
    text = value.hex() if isinstance(value, bytes) else repr(value)
    return text if len(text) <= 90 else f"{text[:90]}… ({len(text)})"


def main():
    binary, cache = sys.argv[1:3]
    with tempfile.TemporaryDirectory(prefix="logmill-judge-") as folder:
        folder = Path(folder)
        count = awkward.write(folder / "logs")
        trials = make_trials()
        ask_logmill(binary, folder, trials)
        examples = run_examples(binary, folder)
        with raw.bucket() as bucket:
            bucket.put_folder(folder / "logs", "logs")
            bucket.put_folder(folder / "examples-logs", "examples")
            with server.trino_435(Path(cache), {"logs": bucket.catalog()}) as trino:
                for schema, place in [("default", "logs"), ("examples", "examples")]:
                    trino.query(f"CREATE SCHEMA {schema}")
                    for table, kind_of_log in [("alb_access_logs", "alb"), ("elb_logs", "elb")]:
                        trino.query(raw.create_table(table, f"s3://{raw.BUCKET}/{place}/{kind_of_log}/"), schema=schema)
                ask_trino(trino, trials)
                checks = Checks(shown=len(trials))
                check_examples(checks, trino, examples)
    report(checks, trials, count)
    return checks.close()


# ---- whole rollups ---------------------------------------------------------------------------------------------------


def run_examples(binary, folder):
    """The rows of all rollups in the repository, by the rollup's file."""
    rollups = folder / "examples"
    rollups.mkdir()
    for glob in ["rollups/*.sql", "bench/rollups/*.sql", "tests/rollups/*.sql"]:
        for path in sorted(REPOSITORY.glob(glob)):
            # judge_queries.py compares rollups with a limit.
            if "LIMIT" not in path.read_text():
                (rollups / path.name).write_text(path.read_text())
    # In Trino, a sum that overflows fails the whole query.
    awkward.write(folder / "examples-logs", beyond_bigint=False)
    logmill = Logmill(binary, folder / "examples-tables")
    logmill.run(folder / "examples-logs", rollups)
    return {path: logmill.query(f"SELECT * FROM {path.stem}").to_pylist() for path in sorted(rollups.glob("*.sql"))}


def check_examples(checks, trino, examples):
    """Runs the same SQL in Trino over the raw lines."""
    for path, ours in examples.items():
        sql = path.read_text().strip()
        first = trino.query(f"SELECT * FROM ({sql}) LIMIT 0", schema="examples")
        sketches = {name for name, kind_ in zip(first.columns, first.types) if kind_ in ("HyperLogLog", "tdigest")}
        digests = {name for name, kind_ in zip(first.columns, first.types) if kind_ == "tdigest"}
        columns = ", ".join(f'cast("{name}" AS varbinary)' if name in sketches else f'"{name}"' for name in first.columns)
        trinos = [dict(zip(first.columns, row)) for row in trino.query(f"SELECT {columns} FROM ({sql})", schema="examples").rows]

        def as_text(row):
            return repr([comparable(row[name], name in digests) for name in first.columns])

        got, expected = sorted(map(as_text, ours)), sorted(map(as_text, trinos))
        wrong = [f"logmill {one}, Trino {other}" for one, other in zip(got, expected) if one != other]
        wrong += [] if len(got) == len(expected) else [f"logmill {len(got)} rows, Trino {len(expected)}"]
        checks.check(f"{path.stem}: {len(expected)} rows, all columns", wrong)


def comparable(value, is_digest):
    if is_digest and value:
        return digested(value)
    if isinstance(value, float):
        return float(f"{value:.12e}")
    return value.timestamp() if hasattr(value, "timestamp") else value


def make_trials():
    trials = []
    of_rows = [
        expressions.COLUMNS, expressions.URL, expressions.TEXT, expressions.NUMBERS, expressions.TIMES, expressions.PADDED, expressions.ROUNDED,
        expressions.OTHERS, expressions.ARRAYS, expressions.JSON, expressions.MATH, expressions.BITS, expressions.CHARACTERS, expressions.BINARY, expressions.IP,
    ]
    for expression in dict.fromkeys(chain(*of_rows)):
        trials.append(Trial(expression, ROWS.format(f"{expression} AS value"), ["line"]))
    for expression in expressions.AGGREGATES:
        trials.append(Trial(expression, GROUPS.format(f"{expression} AS value"), ["day", "type", "request_proto"]))
    for condition in expressions.CONDITIONS:
        trials.append(Trial(f"WHERE {condition}", CONDITION.format("1 AS value", condition), ["line"]))
    return trials


# ---- logmill ---------------------------------------------------------------------------------------------------------


def ask_logmill(binary, folder, trials):
    """Checks each rollup, and runs it alone, because a line on which it fails is left out. Rollups without failures run together."""
    rollups = folder / "all"
    rollups.mkdir()
    for number, trial in enumerate(trials):
        (rollups / f"t{number}.sql").write_text(trial.sql)

    def check(number):
        place = rollups / f"t{number}.sql"
        done = subprocess.run([binary, "check", place, "--sample", folder / "logs"], capture_output=True, text=True, check=False)
        # The columns are printed before the sample is read.
        if found := re.search(r"^  value +(\S+(?: \S+)*?)  ", done.stdout, re.MULTILINE):
            trials[number].our_type = found[1]
            failed = re.search(r"^fails on [\d,]+ lines, which are left out:\n((?:  .*\n)*)", done.stdout, re.MULTILINE)
            reasons = [reason.strip() for reason in failed[1].splitlines()] if failed else []
            trials[number].failure = done.stderr.strip() if done.returncode else "; ".join(reasons)
            trials[number].unstorable = bool(reasons) and all(reason.startswith("a table cannot store") for reason in reasons)
        else:
            trials[number].refusal = done.stderr.strip().removeprefix(f"logmill: {place}: ")

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(check, range(len(trials))))

    work = [(f"t{number}", trial) for number, trial in enumerate(trials) if not trial.refusal and (trial.unstorable or not trial.failure)]
    groups = {}
    for name, trial in work:
        # Expressions of one kind are columns of one rollup. A condition is a separate rollup, and so is an expression that leaves lines out.
        is_alone = trial.unstorable or trial.expression.startswith("WHERE ")
        groups.setdefault((tuple(trial.keys), name if is_alone else ""), []).append((name, trial))
    (folder / "rollups").mkdir()
    tables = {}
    for number, ((keys, _), members) in enumerate(groups.items()):
        for start in range(0, len(members), 60):
            part = members[start : start + 60]
            table = f"r{number}_{start}"
            tables[table] = part
            values = ", ".join(f"{trial.expression} AS {name}" for name, trial in part)
            template = ROWS if keys == ("line",) else GROUPS
            sql = template.format(values) if len(part) > 1 or not part[0][1].expression.startswith("WHERE ") else part[0][1].sql
            (folder / "rollups" / f"{table}.sql").write_text(sql)
    logmill = Logmill(binary, folder / "tables")
    logmill.run(folder / "logs", folder / "rollups")
    for table, part in tables.items():
        rows = logmill.query(f"SELECT * FROM {table}")
        columns = {name: [as_python(value) for value in rows[name]] for name in rows.column_names}
        rows = [dict(zip(columns, values)) for values in zip(*columns.values())]
        for name, trial in part:
            for row in rows:
                key = tuple(row[column] for column in trial.keys)
                assert key not in trial.ours, f"{trial.expression}: two rows of {key}"
                trial.ours[key] = row[name if name in row else "value"]


def as_python(value):
    """Days and times of years that Python doesn't support stay as Trino formats them."""
    try:
        return value.as_py()
    except (OverflowError, ValueError):
        unit = re.match(r"date32|timestamp\[(ms|us)", str(value.type))[1]
        per_second = {None: 0, "ms": 1_000, "us": 1_000_000}[unit]
        days, rest = divmod(value.value, 86_400 * per_second) if per_second else (value.value, 0)
        # The calendar repeats after 400 years.
        cycles, day = divmod(days + 719_162, 146_097)
        day = date.fromordinal(day + 1)
        year = day.year + 400 * cycles
        shown_year = f"+{year}" if year > 9999 else f"{'-' if year < 0 else ''}{abs(year):04}"
        shown_day = f"{shown_year}-{day:%m-%d}"
        if not per_second:
            return shown_day
        seconds, fraction = divmod(rest, per_second)
        return f"{shown_day} {seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}.{fraction * 1000 // per_second:03}" + (" UTC" if "tz=UTC" in str(value.type) else "")


# ---- Trino -----------------------------------------------------------------------------------------------------------


def ask_trino(trino, trials):
    """Runs many expressions in one query. If one fails, each runs in a separate query."""
    rows = [trial for trial in trials if trial.keys == ["line"] and not trial.expression.startswith("WHERE ")]
    groups = [trial for trial in trials if trial.keys != ["line"]]
    conditions = [trial for trial in trials if trial.expression.startswith("WHERE ")]
    for template, members in [(ROWS, rows), (GROUPS, groups)]:
        for start in range(0, len(members), 16):
            ask_together(trino, template, members[start : start + 16])
    for trial in conditions:
        ask_together(trino, trial.sql, [trial])


def ask_together(trino, template, trials):
    values = ", ".join(f"{as_stored(trial.expression)} AS v{number}" for number, trial in enumerate(trials))
    sql = template.format(values) if not trials[0].expression.startswith("WHERE ") else template
    try:
        answer = trino.query(sql)
    except server.TrinoError as error:
        if len(trials) == 1:
            trials[0].trino_error = str(error)
            return
        half = len(trials) // 2
        ask_together(trino, template, trials[:half])
        ask_together(trino, template, trials[half:])
        return
    first = len(answer.columns) - len(trials)
    for row in answer.rows:
        for number, trial in enumerate(trials):
            trial.trinos[row[:first]] = row[first + number]
    for number, trial in enumerate(trials):
        trial.trino_type = answer.types[first + number]


def as_stored(expression):
    """Casts sketches to varbinary, because Trino shows only their bytes."""
    return f"cast({expression} AS varbinary)" if re.match(r"(approx_set|tdigest_agg)\(", expression) else expression


# ---- results ---------------------------------------------------------------------------------------------------------


def report(checks, trials, lines):
    page = PAGE.read_text().partition("## Differences")[2]
    differing = []
    counts = {"equal": 0, "refused": 0, "listed": 0, "differs": 0}
    for trial in trials:
        outcome, words = trial.outcome()
        is_listed = f"\n- `{trial.expression.strip()}`\n" in page
        if outcome == "differs":
            outcome = "listed" if is_listed else "differs"
        elif is_listed:
            outcome, words = "differs", "docs/sql.md lists it as a difference, but the results are equal"
        counts[outcome] += 1
        if outcome == "differs":
            differing.append(f"{trial.expression}: {words}")
        if "--all" in sys.argv:
            print(f"{outcome:8} {trial.expression}\n             {words}")
    told = ", ".join(f"{count} {name}" for name, count in counts.items() if name != "differs")
    checks.check(f"{len(trials)} expressions over {lines} lines: {told}", differing)


if __name__ == "__main__":
    sys.exit(main())
