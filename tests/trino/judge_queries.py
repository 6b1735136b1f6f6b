"""Gives queries as people write them to logmill as rollups, and to Trino over the raw lines. `SELECT *` from the rollup's name must
return what Trino returns: the same columns and rows, in the same order where the query has one. `LOGMILL_QUERIES` names a folder of other queries.
"""

import gzip
import os
import re
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import raw
import server
import traffic
from logmill import Logmill

HERE = Path(__file__).resolve().parent
QUERIES = HERE.parent / "queries"
EXAMPLE = HERE.parent.parent / "rollups" / "slow_pages.sql"
SUM_TOLERANCE = 1e-9
# A t-digest estimates: in columns named p90, p95_seconds and the like.
SKETCH_TOLERANCE = 0.05
ESTIMATE = re.compile(r"p\d+(_\w+)?")
COMMITS = 5
# A time with the name of its zone, which the client leaves as it is.
ZONED = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}) [A-Z]\w*/\w+")


def write(folder):
    (folder / "rollups").mkdir(parents=True)
    for path in queries():
        (folder / "rollups" / f"{table(path)}.sql").write_text(text(path))
    for path in lookups():
        (folder / "rollups" / path.name).write_bytes(path.read_bytes())
    for number, (key, lines) in enumerate(traffic.log_files(seed=20261128, files=50, lines=200)):
        put(folder / "logs" / str(number % COMMITS) / key, lines)


def compute(binary, folder):
    """Tables made with one commit for all log files, and with several commits; and the rows of each query from each."""
    whole, parts = Logmill(binary, folder / "whole"), Logmill(binary, folder / "parts")
    whole.run(folder / "logs", folder / "rollups")
    for part in range(COMMITS):
        shutil.copytree(folder / "logs" / str(part), folder / "arrived", dirs_exist_ok=True)
        parts.run(folder / "arrived", folder / "rollups")
    tables = {"whole": whole, "parts": parts}
    return tables, {path: rows_of(tables, path) for path in queries()}


def rows_of(tables, path):
    return {how: logmill.query(f"SELECT * FROM {table(path)}") for how, logmill in tables.items()}


def judge(checks, trino, bucket, folder, computed):
    bucket.put_folder(folder / "logs", trino.schema)
    trino.query(raw.create_table("alb_access_logs", f"s3://{raw.BUCKET}/{trino.schema}/"))
    for path in lookups():
        bucket.put(f"lookups/{path.stem}/{path.name}", path.read_bytes())
        trino.query(raw.create_lookup(path.stem, path.read_text().splitlines()[0].split(",")))
    columns = ", ".join(f'"{column.split()[0]}"' for column in raw.ALB_COLUMNS.replace("\n", " ").split(","))
    day = """regexp_extract("$path", '/(\\d{4}/\\d\\d/\\d\\d)/', 1)"""
    tables, computed = computed()
    for path, ours in computed.items():
        if "current_timestamp" in text(path):
            # Lines have left its window since.
            ours = rows_of(tables, path)
        compare(checks, trino, path, ours, f"(SELECT {columns}, {day} AS day FROM alb_access_logs)", columns)


def queries():
    """Files of queries; those of `LOGMILL_QUERIES`, a folder, if it is set."""
    folder = os.environ.get("LOGMILL_QUERIES")
    return sorted(Path(folder).glob("*.sql")) if folder else [*sorted(QUERIES.glob("*.sql")), EXAMPLE]


def lookups():
    return sorted(QUERIES.glob("*.csv"))


def table(path):
    return f"q{path.stem.replace('-', '_')}"


def text(path):
    """A query. The logs are of the last days, so the days that queries name are moved there."""
    sql = path.read_text()
    for named, ago in [(20, 2), (21, 1)]:
        day = datetime.now(UTC) - timedelta(days=ago)
        sql = sql.replace(f"2026/11/{named}", f"{day:%Y/%m/%d}").replace(f"2026-11-{named}", f"{day:%Y-%m-%d}")
    return sql


def put(path, lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress("".join(f"{line}\n" for line in lines).encode()))


def compare(checks, trino, path, tables, lines, columns):
    sql = text(path).strip().rstrip(";")
    # In Athena the table has the day as a partition. `*` does not mean it here.
    sql = re.sub(r"(?i)\bselect\s+\*\s+from\b", f"SELECT {columns} FROM", sql)
    sql = re.sub(r"(?i)\b(\w+\.)*alb_access_logs\b", lambda _: lines, sql)
    try:
        limit = re.search(r"(?i)\blimit\s+(\d+)\s*$", sql)
        answer = trino.query(sql)
        all_rows = trino.query(sql[: limit.start()]).rows if limit else answer.rows
    except server.TrinoError as error:
        checks.check(f"{path.stem}: Trino runs the query", [str(error)])
        return
    for how, ours in tables.items():
        wrong = []
        names = [name for name in ours.column_names if name in answer.columns or name.lower() in map(str.lower, answer.columns)]
        if [name.lower() for name in answer.columns] != names:
            wrong.append(f"columns {names}, Trino {answer.columns}")
        else:
            rows = [tuple(row[name] for name in names) for row in ours.to_pylist()]
            wrong = compared(names, rows, answer.rows, all_rows, order(sql, names), limit is not None)
        checks.check(f"{path.stem}, {how}: {len(answer.rows)} rows", wrong)


def order(sql, columns):
    """The index of the column that the rows are sorted by first, if it is an output column."""
    found = re.search(r"(?i)\border by\s+([\w\"]+)(\s+(asc|desc))?\s*(,[^)]*)?(\blimit\s+\d+)?\s*$", sql)
    if not found:
        return None
    by = found[1].strip('"').lower()
    return int(by) - 1 if by.isdigit() else columns.index(by) if by in columns else None


def compared(names, ours, trinos, all_trinos, sorted_by, is_limited):
    tolerances = [SKETCH_TOLERANCE if ESTIMATE.fullmatch(name) else SUM_TOLERANCE for name in names]
    if len(ours) != len(trinos):
        return [f"{len(ours)} rows, Trino {len(trinos)}"]
    if sorted_by is not None:
        pairs = [(ours[row][sorted_by], trinos[row][sorted_by]) for row in range(len(ours))]
        if wrong := [f"row {row}, sorted by {one!r}, Trino by {other!r}" for row, (one, other) in enumerate(pairs) if not same(one, other, tolerances[sorted_by])]:
            return wrong[:3]
    # Which of equal rows a limit keeps is up to the engine.
    left = [[plain(value) for value in row] for row in (all_trinos if is_limited else trinos)]
    wrong = []
    for row in ours:
        found = next((other for other in left if all(map(same, row, other, tolerances))), None)
        if found is None:
            wrong.append(f"Trino has no row {row}; {nearest(row, left, tolerances)}")
        else:
            left.remove(found)
    return wrong[:3] or ([f"logmill has no row {left[0]}"] if left and not is_limited else [])


def nearest(row, others, tolerances):
    """The values in which the row differs from the most similar of others."""
    differences = [[(one, other) for one, other, tolerance in zip(row, theirs, tolerances) if not same(one, other, tolerance)] for theirs in others]
    return f"nearest: {min(differences, key=len)}" if differences else "no row is left"


def plain(value):
    """Exact numbers as floats, times without their zone, histograms as what their buckets have in common with others of the same lines."""
    if hasattr(value, "timestamp"):
        return value.replace(tzinfo=None)
    if isinstance(value, dict):
        value = list(value.items())
    if isinstance(value, list) and all(isinstance(entry, tuple) for entry in value):
        weight = sum(weight for _, weight in value)
        return [len(value), weight, sum(float(key) * weight for key, weight in value) / weight]
    if isinstance(value, list):
        return [plain(one) for one in value]
    if isinstance(value, str) and (zoned := ZONED.fullmatch(value)):
        return datetime.fromisoformat(zoned[1])
    if isinstance(value, (str, bytes, bool)) or value is None:
        return value
    try:
        return float(value)
    except (TypeError, ValueError):
        return str(value)


def same(one, other, tolerance):
    one, other = plain(one), plain(other)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(same(ours, theirs, tolerance) for ours, theirs in zip(one, other))
    if isinstance(one, float) and isinstance(other, float):
        return one == other or abs(one - other) <= tolerance * max(abs(one), abs(other))
    return one == other
