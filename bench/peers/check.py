"""Compares results with the expected ones: `python check.py DATA TABLE=RESULT.parquet…`, exit code 1 if one disagrees.

truth.py has the expected result of each table, and the tolerances. A NULL counts as the empty text or 0, because the
peers differ there. The last line of the output is JSON: for each table its groups and lines.
"""

import json
import sys
from pathlib import Path

import duckdb
from common import COLUMNS
from truth import TRUTHS

CLOSE_MAX = 1e-6
ESTIMATES_MEAN_ERROR_MAX = 0.05
BLANK = {"VARCHAR": "''", "BIGINT": "0", "DOUBLE": "0"}  # instead of NULL


def disagreements(connection, table, result):
    """Describes what is wrong with the result, and how far off each estimate is."""
    truth = TRUTHS[table]
    types = dict(connection.execute(f"SELECT column_name, column_type FROM (DESCRIBE {table})").fetchall())
    columns = ", ".join(
        f"coalesce({name}::{type}, {BLANK[type]}) AS {name}" if type in BLANK else f"{name}::{type} AS {name}"
        for name, type in types.items()
    )
    connection.execute(f"CREATE OR REPLACE TEMP TABLE result AS SELECT {columns} FROM '{result}'")
    keys = ", ".join(truth.keys)
    exact = [name for name in types if name not in truth.keys + truth.close + truth.estimates]
    lacking = f"{table}.{exact[0]} IS NULL OR result.{exact[0]} IS NULL"
    counts = {
        "groups missing or too many": f"count(*) FILTER ({lacking})",
        "groups doubled": f"(SELECT count(*) - count(DISTINCT ({keys})) FROM result)",
    }
    for name in exact:
        counts[f"with other {name}"] = f"count(*) FILTER ({table}.{name} <> result.{name})"
    for name in truth.close:
        off = f"abs({table}.{name} - result.{name}) > {CLOSE_MAX} * greatest(1, abs({table}.{name}))"
        counts[f"with other {name}"] = f"count(*) FILTER ({off})"
    errors = [
        # For numbers that may be small, such as seconds: relative to the larger of the two.
        f"coalesce(avg(abs({table}.{name} - result.{name}) / nullif(greatest({table}.{name}, result.{name}), 0)), 0)"
        for name in truth.estimates
    ]
    found = connection.execute(
        f"SELECT {', '.join([*counts.values(), *errors])} FROM {table} FULL JOIN result USING ({keys})"
    ).fetchone()
    wrong = [f"{number} {what}" for what, number in zip(counts, found) if number]
    off = dict(zip(truth.estimates, found[len(counts) :]))
    wrong += [f"{name} too far off" for name, error in off.items() if error > ESTIMATES_MEAN_ERROR_MAX]
    return wrong, ", ".join(f"{name} off by {error:.2%} in the mean" for name, error in off.items())


data, *results = sys.argv[1:]
results = [result.split("=", 1) for result in results]
columns = ", ".join(f"'{name}': 'VARCHAR'" for name in COLUMNS)
connection = duckdb.connect()
connection.execute("SET TimeZone = 'UTC'")
connection.execute(f"""
    CREATE VIEW lines AS
    FROM read_csv('{data}/*.gz', delim = ' ', quote = '"', escape = '', header = false, auto_detect = false,
                  compression = 'gzip', columns = {{{columns}}})
""")

sizes = {}
for table in {table: None for table, _ in results}:
    connection.execute(f"CREATE TABLE {table} AS {TRUTHS[table].sql}")
    groups, lines = connection.execute(f"SELECT count(*), sum({TRUTHS[table].lines}) FROM {table}").fetchone()
    if not groups:
        sys.exit(f"{data}: no line that {table} counts")
    sizes[table] = {"groups": groups, "lines": int(lines)}

disagree = False
for table, result in results:
    wrong, off = disagreements(connection, table, result)
    disagree |= bool(wrong)
    print(f"{Path(result).stem}: {'DISAGREES: ' + ', '.join(wrong) if wrong else 'agrees'}; {off or 'no estimates'}")
print(json.dumps(sizes))
sys.exit(disagree)
