"""Compares SQL with Trino. Each expression of expressions.py is computed over awkward log lines in a rollup, in `logmill query --logs`, and
in Trino over the same lines, read with AWS's own DDL. Both results of logmill must be Trino's.

The outcomes are: *equal*: the same values, or both fail, or neither supports it. *refused*: Trino supports it, and logmill refuses it with a message
when the SQL is planned. *listed*: another result, or a result where Trino has none, and docs/sql.md lists the expression
under its differences. *explained*: the reason is in EXPLAINED. Anything else is a failure, and so is a listed difference in which the rollup no longer
differs. `--all` prints all outcomes.

A line on which an expression fails is left out of a rollup. It fails a query as a whole, here and in Trino.
"""

import re
import subprocess
import sys
from functools import partial
from pathlib import Path

import awkward
import kinds
import pyarrow
import pyarrow.parquet
import raw
import server
from logmill import Logmill
from trials import Result, as_python, batches, digested, make_trials, together

REPOSITORY = Path(__file__).resolve().parent.parent.parent
PAGE = REPOSITORY / "docs" / "sql.md"

# Expressions in one query, and in one rollup. If one fails in a rollup, all of its rollup are tried in smaller ones.
IN_A_QUERY = 16
IN_A_ROLLUP = [60, 8, 1]
ROLLUPS_IN_A_RUN = 100

# Queries of lines, which no rollup may be, and whose rows follow from the lines.
QUERIES = [
    "SELECT trace_id, row_number() OVER (PARTITION BY type ORDER BY time, trace_id) AS n FROM alb_access_logs",
    "SELECT trace_id, lag(sent_bytes) OVER (PARTITION BY client_ip ORDER BY time, trace_id) AS value FROM alb_access_logs",
    "SELECT trace_id, sum(sent_bytes) OVER (ORDER BY trace_id ROWS BETWEEN 2 PRECEDING AND CURRENT ROW) AS value FROM alb_access_logs WHERE sent_bytes < 1000000",
    "SELECT type, count(DISTINCT client_ip), count(DISTINCT user_agent) FROM alb_access_logs GROUP BY 1",
    "SELECT type, max_by(trace_id, trace_id), min_by(trace_id, trace_id), count(*) FILTER (WHERE elb_status_code >= 400) FROM alb_access_logs GROUP BY 1",
    "SELECT type, approx_percentile(elb_status_code, ARRAY[0.0, 1.0]), approx_percentile(elb_status_code, 1, 0.0), bitwise_or_agg(elb_status_code) FROM alb_access_logs GROUP BY 1",
    "SELECT a.type, count(*) FROM alb_access_logs a JOIN alb_access_logs b ON a.trace_id = b.trace_id WHERE b.elb_status_code = 200 GROUP BY 1",
    "WITH busy AS (SELECT client_ip FROM alb_access_logs GROUP BY 1 HAVING count(*) > 2) "
    "SELECT trace_id FROM alb_access_logs WHERE client_ip IN (SELECT client_ip FROM busy)",
    "SELECT trace_id FROM alb_access_logs WHERE sent_bytes > (SELECT avg(sent_bytes) FROM alb_access_logs)",
    "SELECT trace_id FROM alb_access_logs ORDER BY trace_id DESC LIMIT 7",
    "SELECT type FROM alb_access_logs UNION SELECT request_verb FROM alb_access_logs",
    "SELECT a.trace_id FROM alb_access_logs a WHERE EXISTS (SELECT 1 FROM alb_access_logs b WHERE b.trace_id = a.trace_id AND b.elb_status_code = 503)",
]

# Known differences of queries, with the reason why the values are equal.
EXPLAINED = {
    "INTERVAL '1' DAY": "Parquet has no such intervals",
    "try(from_iso8601_date(url_extract_parameter(request_url, 'n')))": "Trino fails on a day beyond its range, and try does not catch it",
    "now()": "the two run one after the other",
    "typeof(sent_bytes * 2)": "Trino computes the product, which overflows on a line",
    "ARRAY[from_iso8601_timestamp(time)]": "Trino's client returns times within arrays as texts",
    "row_number() OVER ()": "any order is right",
    "elb_status_code::varchar": "more syntax than Trino's",
    "type ~ 'h'": "more syntax than Trino's",
    # docs/usage.md says how the names of log files decide which are read. Only made-up log files have lines of other days.
    "WHERE cast(from_iso8601_timestamp(time) AS date) = DATE '2026-11-19'": "the line is in a log file of another day",
}


def write(folder):
    awkward.write(folder / "logs")
    # In Trino, a sum that overflows fails the whole query.
    awkward.write(folder / "examples-logs", beyond_bigint=False)


def compute(binary, folder):
    """Results of rollups and of queries, in the order of the trials; the rows of whole rollups, and those of whole queries."""
    trials = make_trials()
    queries = [Result() for _ in trials]
    ask_each(partial(query_logs, binary, folder), trials, queries)
    rollups = ask_rollups(binary, folder, trials)
    return rollups, queries, run_examples(binary, folder), [query_logs(binary, folder, sql).rows for sql in QUERIES]


def judge(checks, trino, bucket, folder, computed):
    of_examples = trino.with_schema("examples")
    for place, logs in [(trino, folder / "logs"), (of_examples, folder / "examples-logs")]:
        bucket.put_folder(logs, place.schema)
        for table, kind_of_log in [("alb_access_logs", "alb"), ("elb_logs", "elb")]:
            place.query(raw.create_table(table, f"s3://{raw.BUCKET}/{place.schema}/{kind_of_log}/"))
    trials = make_trials()
    ask_trino(trino, trials)
    rollups, queries, examples, rows = computed()
    check_examples(checks, of_examples, examples)
    for sql, ours in zip(QUERIES, rows):
        trinos = trino.query(sql).rows
        check_rows(checks, f"{len(trinos)} rows: {sql}", map(repr, ours), map(repr, trinos))
    report(checks, trials, rollups, "rollups")
    report(checks, trials, queries, "queries")


# ---- expressions -----------------------------------------------------------------------------------------------------


class Failed(Exception):
    """A query that fails on a line; in Trino, also one that it refuses, perhaps with the column of the SQL where the error is."""

    def __init__(self, message, column=None):
        super().__init__(message)
        self.column = column


class Refused(Failed):
    """A query that logmill refuses."""


def ask_each(ask, trials, results, written=str):
    """Computes many expressions in one query. `ask` returns its answer. If it fails, the others are asked for without the wrong expression, or
    each half of them if it isn't known which one that is."""
    work = batches(zip(trials, results), IN_A_QUERY)
    while work:
        batch = work.pop()
        sql = together(batch, written)
        try:
            keep(ask(sql), batch)
        except Failed as error:
            number = 0 if len(batch) == 1 else wrong_one(sql, error.column)
            if number is not None and number < len(batch):
                setattr(batch[number][1], "refusal" if isinstance(error, Refused) else "failure", str(error))
                others = batch[:number] + batch[number + 1 :]
                work += [others] if others else []
            else:
                half = len(batch) // 2
                work += [batch[half:], batch[:half]]


def wrong_one(sql, column):
    """The number of the expression at this column of the SQL, counted from 1."""
    return column and len(re.findall(r" AS v\d+\b", sql[: column - 1]))


def keep(answer, batch):
    rows = answer.dicts()
    for number, (trial, result) in enumerate(batch):
        result.type = dict(zip(answer.columns, answer.types)).get(f"v{number}", result.type)
        for row in rows:
            key = tuple(row[column] for column in trial.keys)
            assert key not in result.values, f"{trial.expression}: two rows of {key}"
            result.values[key] = row[f"v{number}"]


def ask_trino(trino, trials):
    def ask(sql):
        try:
            return trino.query(sql)
        except server.TrinoError as error:
            raise Failed(str(error), error.column) from error

    ask_each(ask, trials, [trial.trino for trial in trials], as_stored)


def as_stored(expression):
    """Casts sketches to varbinary, because Trino shows only their bytes."""
    return f"cast({expression} AS varbinary)" if re.match(r"(approx_set|tdigest_agg)\(", expression) else expression


def query_logs(binary, folder, sql):
    command = [binary, "query", sql, "--logs", folder / "logs", "--output", folder / "answer.parquet"]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    if done.returncode:
        # Only a query that has been planned reads.
        raise (Failed if done.stderr.startswith("reading ") else Refused)(done.stderr)
    return answer_of(pyarrow.parquet.read_table(folder / "answer.parquet"))


def answer_of(table):
    columns = [[as_python(in_microseconds(value)) for value in table[name]] for name in table.column_names]
    return server.Answer(table.column_names, [], list(zip(*columns)), {})


def in_microseconds(value):
    """Times are in microseconds in tables, and in milliseconds in answers of queries."""
    if str(value.type) == "timestamp[ms, tz=UTC]" and value.is_valid:
        return pyarrow.scalar(value.value * 1000, pyarrow.timestamp("us", "UTC"))
    return value


def ask_rollups(binary, folder, trials):
    """Checks the rollup of each expression. Those that are not refused run together, until only the failing ones are left."""
    results = [Result() for _ in trials]
    alone = folder / "alone"
    alone.mkdir()
    for number, pair in enumerate(zip(trials, results)):
        (alone / f"t{number}.sql").write_text(together([pair]))
    done = subprocess.run([binary, "check", alone], capture_output=True, text=True, check=False)
    for number, description in re.findall(r"^table t(\d+): (.*?)(?=^table |\Z)", done.stdout, re.MULTILINE | re.DOTALL):
        if found := re.search(r"^  v0 +(\S+(?: \S+)*?)  ", description, re.MULTILINE):
            results[int(number)].type = found[1]
    for number, message in re.findall(r"^logmill: \S*/t(\d+)\.sql: (.*(?:\n  .*)*)", done.stderr, re.MULTILINE):
        results[int(number)].refusal = message
    left = [(trial, result) for trial, result in zip(trials, results) if not result.refusal]
    for size in IN_A_ROLLUP:
        work, left = batches(left, size), []
        for start in range(0, len(work), ROLLUPS_IN_A_RUN):
            left += run_together(binary, folder, work[start : start + ROLLUPS_IN_A_RUN], folder / f"together-{size}-{start}")
    return results


def run_together(binary, folder, work, place):
    """Runs a rollup for each batch. Returns the expressions of those that leave out lines, on which one of them fails."""
    (place / "rollups").mkdir(parents=True)
    tables = {f"r{number}": batch for number, batch in enumerate(work)}
    for table, batch in tables.items():
        (place / "rollups" / f"{table}.sql").write_text(together(batch))
    logmill = Logmill(binary, place / "tables")
    logmill.run(folder / "logs", place / "rollups")
    reasons = {}
    for line in logmill.query('SELECT "table", reason FROM failed_lines').to_pylist():
        reasons.setdefault(line["table"], set()).add(line["reason"])
    left = []
    for table, batch in tables.items():
        if table in reasons and len(batch) > 1:
            left += batch
            continue
        if table in reasons:
            [(_, result)] = batch
            result.failure = "; ".join(sorted(reasons[table]))
            result.unstorable = all(reason.startswith("a table cannot store") for reason in reasons[table])
        keep(answer_of(logmill.query(f"SELECT * FROM {table}")), batch)
    return left


# ---- whole rollups and queries ---------------------------------------------------------------------------------------


def run_examples(binary, folder):
    """The rows of all rollups of access logs in the repository, by the rollup's file."""
    rollups = folder / "examples"
    rollups.mkdir()
    # judge_queries.py compares rollups with a limit, and judge_formats.py compares other logs.
    of_others = ["LIMIT", *(kind.table for kind in kinds.KINDS if kind is not kinds.ALB)]
    for glob in ["rollups/*.sql", "bench/rollups/*.sql", "tests/rollups/*.sql"]:
        for path in sorted(REPOSITORY.glob(glob)):
            sql = path.read_text()
            if not any(word in sql for word in of_others):
                (rollups / path.name).write_text(sql)
    logmill = Logmill(binary, folder / "examples-tables")
    logmill.run(folder / "examples-logs", rollups)
    return {path: logmill.query(f"SELECT * FROM {path.stem}").to_pylist() for path in sorted(rollups.glob("*.sql"))}


def check_examples(checks, trino, examples):
    """Runs the same SQL in Trino over the raw lines."""
    for path, ours in examples.items():
        sql = path.read_text().strip()
        first = trino.query(f"SELECT * FROM ({sql}) LIMIT 0")
        sketches = {name for name, kind_ in zip(first.columns, first.types) if kind_ in ("HyperLogLog", "tdigest")}
        digests = {name for name, kind_ in zip(first.columns, first.types) if kind_ == "tdigest"}
        columns = ", ".join(f'cast("{name}" AS varbinary)' if name in sketches else f'"{name}"' for name in first.columns)
        trinos = [dict(zip(first.columns, row)) for row in trino.query(f"SELECT {columns} FROM ({sql})").rows]

        def as_text(row):
            return repr([comparable(row[name], name in digests) for name in first.columns])

        check_rows(checks, f"{path.stem}: {len(trinos)} rows, all columns", map(as_text, ours), map(as_text, trinos))


def comparable(value, is_digest):
    if is_digest and value:
        return digested(value)
    if isinstance(value, float):
        return float(f"{value:.12e}")
    return value.timestamp() if hasattr(value, "timestamp") else value


def check_rows(checks, name, ours, trinos):
    ours, trinos = sorted(ours), sorted(trinos)
    wrong = [f"logmill {one}, Trino {other}" for one, other in zip(ours, trinos) if one != other]
    wrong += [] if len(ours) == len(trinos) else [f"logmill {len(ours)} rows, Trino {len(trinos)}"]
    checks.check(name, wrong)


# ---- results ---------------------------------------------------------------------------------------------------------


def report(checks, trials, results, name):
    page = PAGE.read_text().partition("## Differences")[2]
    differing = []
    counts = {"equal": 0, "refused": 0, "listed": 0, "explained": 0}
    for trial, result in zip(trials, results):
        outcome, words = trial.outcome(result)
        is_listed = f"\n- `{trial.expression.strip()}`\n" in page
        if outcome == "differs" and is_listed:
            outcome = "listed"
        elif outcome == "differs" and name == "queries" and trial.expression in EXPLAINED:
            outcome = "explained"
        elif outcome != "differs" and is_listed and name == "rollups":
            outcome, words = "differs", "docs/sql.md lists it as a difference, but the results are equal"
        if outcome in counts:
            counts[outcome] += 1
        else:
            differing.append(f"{trial.expression}: {words}")
        if "--all" in sys.argv:
            print(f"{name} {outcome:9} {trial.expression}\n             {words}")
    told = ", ".join(f"{count} {outcome}" for outcome, count in counts.items())
    checks.check(f"{len(trials)} expressions in {name}, over {len(awkward.lines())} lines: {told}", differing)
