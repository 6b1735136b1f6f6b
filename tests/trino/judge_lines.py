"""Compares `logmill query --logs` with Trino 435: each expression of expressions.py, over the same awkward log lines, read by Trino with AWS's
own DDL.

    python3 tests/trino/judge_lines.py LOGMILL CACHE

The outcomes are those of judge_sql.py, but a line on which an expression fails fails the whole query, here and in Trino.
"""

import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

import awkward
import pyarrow
import pyarrow.parquet
import raw
import server
from checks import Checks
from judge_sql import CONDITION, GROUPS, PAGE, ROWS, Trial, as_python, ask_trino, make_trials

TOGETHER = 16  # expressions in one query

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

# Known differences, with the reason why the values are equal.
EXPLAINED = {
    "INTERVAL '1' DAY": "Parquet has no such intervals",
    "try(from_iso8601_date(url_extract_parameter(request_url, 'n')))": "Trino fails on a day beyond its range, and try does not catch it",
    "now()": "the two run one after the other",
    "ARRAY[from_iso8601_timestamp(time)]": "Trino's client returns times within arrays as texts",
    "row_number() OVER ()": "any order is right",
    "elb_status_code::varchar": "more syntax than Trino's",
    "type ~ 'h'": "more syntax than Trino's",
    # docs/usage.md says how the names of log files decide which are read. Only made-up log files have lines of other days.
    "WHERE cast(from_iso8601_timestamp(time) AS date) = DATE '2026-11-19'": "the line is in a log file of another day",
}


def main():
    binary, cache = sys.argv[1:3]
    with tempfile.TemporaryDirectory(prefix="logmill-judge-") as folder:
        folder = Path(folder)
        count = awkward.write(folder / "logs")
        trials = make_trials()
        ask_logmill(binary, folder, trials)
        with raw.bucket() as bucket:
            bucket.put_folder(folder / "logs", "logs")
            with server.trino_435(Path(cache), {"logs": bucket.catalog()}) as trino:
                trino.query("CREATE SCHEMA default")
                for table, kind_of_log in [("alb_access_logs", "alb"), ("elb_logs", "elb")]:
                    trino.query(raw.create_table(table, f"s3://{raw.BUCKET}/logs/{kind_of_log}/"), schema="default")
                ask_trino(trino, trials)
                checks = Checks(shown=len(trials))
                for sql in QUERIES:
                    ours = [tuple(row.values()) for row in rows_of(binary, folder, sql, "query")]
                    trinos = [tuple(row) for row in trino.query(sql).rows]
                    ours, trinos = sorted(map(repr, ours)), sorted(map(repr, trinos))
                    wrong = [f"logmill {one}, Trino {other}" for one, other in zip(ours, trinos) if one != other]
                    wrong += [] if len(ours) == len(trinos) else [f"logmill {len(ours)} rows, Trino {len(trinos)}"]
                    checks.check(f"{len(trinos)} rows: {sql}", wrong)
    report(checks, trials, count)
    return checks.close()


class Failed(Exception):
    """A query that logmill refuses, or that fails on a line."""


def ask_logmill(binary, folder, trials):
    rows = [trial for trial in trials if trial.keys == ["line"] and not trial.expression.startswith("WHERE ")]
    groups = [trial for trial in trials if trial.keys != ["line"]]
    conditions = [trial for trial in trials if trial.expression.startswith("WHERE ")]
    work = [(ROWS, rows[start : start + TOGETHER]) for start in range(0, len(rows), TOGETHER)]
    work += [(GROUPS, groups[start : start + TOGETHER]) for start in range(0, len(groups), TOGETHER)]
    work += [(CONDITION, [trial]) for trial in conditions]
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda one: ask_together(binary, folder, *one), work))


def ask_together(binary, folder, template, trials):
    values = ", ".join(f"{trial.expression} AS v{number}" for number, trial in enumerate(trials))
    sql = trials[0].sql if template == CONDITION else template.format(values)
    try:
        rows = rows_of(binary, folder, sql, f"t{id(trials[0])}")
    except Failed as error:
        if len(trials) == 1:
            words = str(error)
            # Only a query that has been planned reads.
            setattr(trials[0], "failure" if words.startswith("reading ") else "refusal", words)
            return
        half = len(trials) // 2
        ask_together(binary, folder, template, trials[:half])
        ask_together(binary, folder, template, trials[half:])
        return
    for row in rows:
        for number, trial in enumerate(trials):
            name = "value" if template == CONDITION else f"v{number}"
            trial.ours[tuple(row[column] for column in trial.keys)] = row[name]


def rows_of(binary, folder, sql, name):
    answer = folder / f"{name}.parquet"
    command = [binary, "query", sql, "--logs", folder / "logs", "--output", answer]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    if done.returncode:
        raise Failed(done.stderr)
    table = pyarrow.parquet.read_table(answer)
    columns = {name: [as_microseconds(value) for value in table[name]] for name in table.column_names}
    return [dict(zip(columns, values)) for values in zip(*columns.values())]


def as_microseconds(value):
    """A value as judge_sql.py has it: times in tables are in microseconds."""
    if str(value.type) == "timestamp[ms, tz=UTC]" and value.is_valid:
        value = pyarrow.scalar(value.value * 1000, pyarrow.timestamp("us", "UTC"))
    return as_python(value)


def report(checks, trials, lines):
    page = PAGE.read_text().partition("## Differences")[2]
    counts = {"equal": 0, "refused": 0, "listed": 0, "explained": 0}
    differing = []
    for trial in trials:
        outcome, words = trial.outcome()
        if outcome == "differs" and f"\n- `{trial.expression.strip()}`\n" in page:
            outcome = "listed"
        if outcome == "differs" and trial.expression in EXPLAINED:
            outcome = "explained"
        if outcome in counts:
            counts[outcome] += 1
        else:
            differing.append(f"{trial.expression}: {words}")
        if "--all" in sys.argv:
            print(f"{outcome:8} {trial.expression}\n             {words}")
    told = ", ".join(f"{count} {name}" for name, count in counts.items())
    checks.check(f"{len(trials)} expressions over {lines} lines: {told}", differing)


if __name__ == "__main__":
    sys.exit(main())
