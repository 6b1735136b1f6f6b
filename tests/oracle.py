"""Proves that tables are exactly what their SQL returns over the raw log lines. logmill rolls up a folder of logs, DuckDB runs
the same SQL over lines that it has read and split itself, and every row and column is compared. Rejected lines and the list
of counted log files are compared too.

    python3 tests/oracle.py LOGMILL LOGS_DIR [--rollups DIR]

Counts, texts, times, extremes and the bytes of HyperLogLog sketches must be equal. Sums of doubles depend on the order, so they may
differ by a relative 1e-9. Quantiles of t-digests may differ in rank by the weight that one centroid may have there. Estimates of
large HyperLogLog sketches may differ by five standard errors.
"""

import argparse
import math
import shutil
import sys
import tempfile
from collections import defaultdict
from datetime import date, datetime, timezone
from pathlib import Path

import pyarrow as pa

import airlift
import log_lines
import rollup_sql
from checks import Checks
from logmill import Logmill

REPOSITORY = Path(__file__).resolve().parent.parent
ROLLUPS = ["rollups/*.sql", "bench/rollups/reference.sql", "tests/rollups/*.sql"]

SUM_TOLERANCE = 1e-9
COMPRESSION = 100
RANK_TOLERANCE_MIN = 0.005
QUANTILES = [0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99]
# A sketch of fewer values than this is exact.
EXACT_BELOW = 500
CARDINALITY_TOLERANCE = 5 * 1.04 / math.sqrt(airlift.REGISTERS)
KEPT_LINE_BYTES = 8 * 1024


def main():
    arguments = parse_arguments()
    checks = Checks()
    with tempfile.TemporaryDirectory(prefix="logmill-oracle-") as folder:
        folder = Path(folder)
        paths = collect_rollups(arguments.rollups, folder / "rollups")
        logmill = Logmill(arguments.logmill, folder / "tables")
        logmill.run(arguments.logs, folder / "rollups")

        db = log_lines.load(arguments.logs, folder)
        rollups = [rollup_sql.load(path, db, log_lines.TIME_COLUMN) for path in paths]
        for rollup in rollups:
            check_rollup(checks, logmill, db, rollup)
        check_rejected_lines(checks, logmill, db, rollups)
        check_log_files(checks, logmill, db, rollups)
    return checks.close()


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("logmill", help="the program")
    parser.add_argument("logs", type=Path, help="a folder of log files")
    parser.add_argument("--rollups", type=Path, help="a folder of rollups, in place of all that the repository has")
    return parser.parse_args()


def collect_rollups(folder, into):
    """Copies the rollups to one folder, because logmill accepts only one."""
    into.mkdir()
    found = folder.glob("*.sql") if folder else (path for glob in ROLLUPS for path in REPOSITORY.glob(glob))
    # DuckDB lacks it. tests/trino/judge_queries.py compares such rollups.
    found = (path for path in found if "approx_percentile" not in path.read_text())
    return [Path(shutil.copy(path, into)) for path in sorted(found)]


# ---- one rollup ------------------------------------------------------------------------------------------------------


def check_rollup(checks, logmill, db, rollup):
    stored = logmill.query(f"SELECT * FROM {logmill.groups(rollup.name)}").to_pylist()
    truth = [plain(row) for row in db.execute(rollup.duckdb_sql).fetch_arrow_table().to_pylist()]
    if not rollup.keys:
        names = [column.name for column in rollup.columns]
        checks.check(f"{rollup.name}: {len(truth)} rows, all columns", differing_multisets(stored, truth, names))
        return

    stored, doubled = by_key(stored, rollup.keys)
    truth, _ = by_key(truth, rollup.keys)
    checks.check(f"{rollup.name}: one row for each of {len(truth)} groups", doubled + differing_keys(stored, truth))
    check_date(checks, rollup, stored)
    pairs = [(key, stored[key], truth[key]) for key in truth if key in stored]
    for column in rollup.columns:
        if not column.is_key:
            checks.check(f"{rollup.name}.{column.name}: {column.aggregate}", differing_values(column, pairs))
    for column in rollup.sketches("approx_set"):
        check_cardinality(checks, logmill, rollup, column, truth)
    for column in rollup.sketches("tdigest_agg"):
        check_quantiles(checks, logmill, db, rollup, column, truth)


def plain(row):
    """Converts DuckDB's maps to dictionaries, and its sums of integers to integers."""
    return {name: dict(value) if is_map(value) else value for name, value in row.items()}


def is_map(value):
    return isinstance(value, list) and bool(value) and isinstance(value[0], tuple)


def by_key(rows, keys):
    """Rows by their group key, and duplicate keys."""
    found, doubled = {}, []
    for row in rows:
        key = tuple(row[name] for name in keys)
        if key in found:
            doubled.append(f"two rows: {key}")
        found[key] = row
    return found, doubled


def differing_keys(stored, truth):
    missing = [f"missing: {key}" for key in truth if key not in stored]
    return missing + [f"too many: {row}" for key, row in stored.items() if key not in truth]


def differing_multisets(stored, truth, names):
    """Compares the rows of a table without keys: additional and missing rows."""
    count = defaultdict(int)
    for rows, sign in [(stored, 1), (truth, -1)]:
        for row in rows:
            count[tuple(row[name] for name in names)] += sign
    return [f"{abs(n)} too {'many' if n > 0 else 'few'}: {row}" for row, n in count.items() if n]


def differing_values(column, pairs):
    name = column.name
    for key, stored, truth in pairs:
        if not COMPARED.get(column.aggregate, same)(stored[name], truth[name]):
            yield f"{key}: logmill {shown(stored[name])}, expected {shown(truth[name])}"


def same(stored, truth):
    return stored == truth


def same_sum(stored, truth):
    if stored is None or truth is None or not isinstance(stored, float):
        return stored == truth
    return math.isclose(stored, truth, rel_tol=SUM_TOLERANCE)


def same_hyper_log_log(stored, truth):
    """Checks that the stored bytes are those of a sketch built here from the distinct values."""
    return stored == airlift.hyper_log_log(truth or {})


def same_tdigest(stored, truth):
    """Checks that the stored digest has the same number of values, the same sum, and the same bounds."""
    values = [float(value) for value in truth or [] if value is not None]
    if stored is None or not values:
        return stored is None and not values
    least, greatest, total, means, weights = airlift.read_tdigest(stored)
    weighted = math.fsum(mean * weight for mean, weight in zip(means, weights))
    return (
        (least, greatest, total) == (min(values), max(values), len(values))
        and list(means) == sorted(means)
        and sum(weights) == total
        and math.isclose(weighted, math.fsum(values), rel_tol=1e-6, abs_tol=1e-9)
    )


COMPARED = {"sum": same_sum, "approx_set": same_hyper_log_log, "tdigest_agg": same_tdigest}


def shown(value):
    text = value.hex() if isinstance(value, bytes) else repr(value)
    return text if len(text) <= 200 else f"{text[:200]}… ({len(text)} characters)"


def check_date(checks, rollup, rows):
    """Checks that the partition is the UTC day of the first time among the group keys."""
    times = [name for name in rollup.keys if any(isinstance(row[name], datetime) for row in rows.values())]
    if times:
        wrong = [row for row in rows.values() if row["date"] != row[times[0]].astimezone(timezone.utc).date()]
        checks.check(f"{rollup.name}.date: the day of {times[0]}", wrong)


# ---- estimates from sketches -----------------------------------------------------------------------------------------


def check_cardinality(checks, logmill, rollup, column, truth):
    """Compares the estimates of each group and of all groups with the number of distinct values."""
    keys = ", ".join(rollup.keys)
    groups = logmill.query(f"SELECT {keys}, cardinality(cast({column} AS HyperLogLog)) AS n FROM {logmill.groups(rollup.name)}")
    estimates, _ = by_key(groups.to_pylist(), rollup.keys)
    wrong = [
        f"{key}: {estimates[key]['n']}, expected {len(row[column] or ())}"
        for key, row in truth.items()
        if not near(estimates[key]["n"] or 0, len(row[column] or ()))
    ]
    checks.check(f"{rollup.name}.{column}: cardinality of each group", wrong)

    everything = logmill.query(f"SELECT cardinality(merge(cast({column} AS HyperLogLog))) AS n FROM {logmill.groups(rollup.name)}")
    estimate, exact = everything["n"][0].as_py(), len(set().union(*(row[column] or () for row in truth.values())))
    wrong = [] if near(estimate or 0, exact) else [f"{estimate}, expected {exact}"]
    checks.check(f"{rollup.name}.{column}: cardinality of all groups merged: {estimate} for {exact}", wrong)


def near(estimate, exact):
    if exact < EXACT_BELOW:
        return estimate == exact
    return abs(estimate - exact) <= CARDINALITY_TOLERANCE * exact


def check_quantiles(checks, logmill, db, rollup, column, truth):
    """Checks quantiles of merged digests, one for each value of the rollup's first key that is not a time. For each of QUANTILES,
    the answer must be between the exact quantiles of a slightly smaller and a slightly larger rank."""
    by = next(name for name in rollup.keys if not any(is_time(row[name]) for row in truth.values()))
    values = defaultdict(list)
    for row in truth.values():
        values[row[by]].extend(value for value in row[column] or [] if value is not None)

    quantiles = ", ".join(
        f"value_at_quantile(merge(cast({column} AS tdigest)), {q}) AS q{n}" for n, q in enumerate(QUANTILES)
    )
    answers, _ = by_key(logmill.query(f"SELECT {by}, {quantiles} FROM {logmill.groups(rollup.name)} GROUP BY {by}").to_pylist(), [by])
    wrong = []
    for group, exact in values.items():
        for n, (q, (low, high)) in enumerate(zip(QUANTILES, exact_bounds(db, exact))):
            got = answers[(group,)][f"q{n}"]
            if not is_between(got, low, high):
                wrong.append(f"{group}: quantile {q} is {got}, expected {low} to {high}")
    count = sum(map(len, values.values()))
    checks.check(f"{rollup.name}.{column}: quantiles of {count} values in {len(values)} groups by {by}", wrong)


def is_time(value):
    return isinstance(value, date)


def is_between(value, low, high):
    """Bounds that were interpolated from equal values may be off in their last digit."""
    if value is None or low is None:
        return value is low
    return low <= value <= high or math.isclose(value, low, rel_tol=1e-12) or math.isclose(value, high, rel_tol=1e-12)


def exact_bounds(db, values):
    """Two exact quantiles for each of QUANTILES: one below and one above."""
    bounds = [bound for q in QUANTILES for bound in (q - rank_tolerance(q, len(values)), q + rank_tolerance(q, len(values)))]
    clamped = [min(1.0, max(0.0, bound)) for bound in bounds]
    db.register("exact", pa.table({"value": pa.array(values, pa.float64())}))
    found = db.execute(f"SELECT quantile_cont(value, {clamped}) FROM exact").fetchone()[0] or [None] * len(clamped)
    return list(zip(found[::2], found[1::2]))


def rank_tolerance(q, count):
    """The share of all values that Airlift allows one centroid at this rank, at least half a percent, plus one value."""
    count = max(count, 1)
    centroid = q * (1 - q) * (4 * math.log(max(count / COMPRESSION, 1)) + 24) / COMPRESSION
    return max(centroid, RANK_TOLERANCE_MIN) + 1 / count


# ---- lines and files -------------------------------------------------------------------------------------------------


def check_rejected_lines(checks, logmill, db, rollups):
    """Checks that rejected lines are those of the log files that some rollup reads, each with its place and reason."""
    expected = db.execute(
        """
        SELECT log_file, line_number, rejected AS reason, line,
               try_strptime(regexp_extract(log_file, '_(\\d{8})T\\d{4}Z_[^/]*$', 1), '%Y%m%d')::DATE AS date
        FROM lines WHERE rejected IS NOT NULL AND list_contains($1, log_table) ORDER BY ALL
        """,
        [tables_read(rollups)],
    ).fetch_arrow_table().to_pylist()
    if not expected and not (logmill.tables / "rejected_lines").exists():
        return
    rows = logmill.query("SELECT * FROM rejected_lines").to_pylist()
    got = {(row["log_file"], row["line_number"]): row for row in rows}
    truth = {(row["log_file"], row["line_number"]): row for row in expected}
    wrong = ["a line twice"] if len(got) != len(rows) else []
    wrong += [f"missing: {row}" for key, row in truth.items() if key not in got]
    wrong += [f"too many: {row}" for key, row in got.items() if key not in truth]
    wrong += [f"{got[key]}, expected {row}" for key, row in truth.items() if key in got and not same_rejection(got[key], row)]
    checks.check(f"rejected_lines: {len(expected)} lines, with place and reason", wrong)


def same_rejection(got, expected):
    """Checks that the reason contains the expected word, and that a long line is truncated."""
    kept = expected["line"].encode()[:KEPT_LINE_BYTES].decode(errors="ignore")
    return (got["line"], got["date"]) == (kept, expected["date"]) and expected["reason"] in got["reason"]


def tables_read(rollups):
    return sorted({rollup.log_table for rollup in rollups})


def check_log_files(checks, logmill, db, rollups):
    """Checks that `logmill files` lists every log file that a rollup reads, once for each table."""
    expected = db.execute(
        """
        SELECT log_file, log_files.log_table, bytes, text_bytes, count(line_number) AS lines, count(rejected) AS rejected_lines,
               min(moment) AS first_time, max(moment) AS last_time
        FROM log_files LEFT JOIN (SELECT * EXCLUDE moment, CASE WHEN rejected IS NULL THEN moment END AS moment FROM lines)
             USING (log_file)
        GROUP BY ALL ORDER BY log_file
        """
    ).fetch_arrow_table().to_pylist()
    listed = logmill.files().to_pylist()
    names = list(expected[0]) if expected else []
    for rollup in rollups:
        truth = [tuple(row.values()) for row in expected if row["log_table"] == rollup.log_table]
        got = sorted(tuple(row[name] for name in names) for row in listed if row["table"] == rollup.name)
        wrong = [f"missing or other: {row}" for row in truth if row not in got]
        wrong += [f"too many or other: {row}" for row in got if row not in truth]
        wrong += ["a log file twice"] if len(got) != len(truth) and not wrong else []
        checks.check(f"files: the {len(truth)} log files of {rollup.name}, with lines, bytes and times", wrong)
    others = {row["table"] for row in listed} - {rollup.name for rollup in rollups}
    checks.check("files: no other tables", sorted(others - {"rejected_lines"}))
    checks.check("files: each has a version", [row for row in listed if not row["etag"]])


if __name__ == "__main__":
    sys.exit(main())
