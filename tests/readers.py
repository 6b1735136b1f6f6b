"""Proves that other engines read the tables correctly: Polars, the deltalake package, DuckDB's Delta extension and logmill
itself must return the same rows of the same types. Then checks what no engine checks: the protocol, one row per group key,
sorted files that share no hour, correct statistics, and that nothing is read under names that begin with `_`.

    python3 tests/readers.py LOGMILL TABLES_ROOT
"""

import argparse
import shutil
import sys
import tempfile
from collections import Counter
from pathlib import Path

import deltalake
import duckdb
import polars
import pyarrow as pa
import pyarrow.parquet

from checks import Checks
from logmill import Logmill

TIME, DATE = pa.timestamp("us", tz="UTC"), pa.date32()
TEXT, INT, LONG, DOUBLE, BYTES, BOOLEAN = pa.string(), pa.int32(), pa.int64(), pa.float64(), pa.binary(), pa.bool_()

# Delta Lake's default: readers use statistics only of the first columns.
COLUMNS_WITH_STATISTICS = 32

# The exact state of a sum of integers.
EXACT = pa.decimal128(38, 0)

# The group keys of the repository's rollups, in their order, and the types of all columns. Each table that merges also has
# `is_other`, which is false in every row here.
TABLES = {
    "events": (
        ["minute", "event", "country"],
        dict(minute=TIME, event=TEXT, country=TEXT, events=LONG, amount=DOUBLE, users=BYTES, date=DATE),
    ),
    "slow_pages": (
        ["date", "page"],
        dict(page=TEXT, requests=LONG, mean_seconds=DOUBLE, p95_seconds=DOUBLE, clients=LONG, mean_seconds__sum=DOUBLE, mean_seconds__count=LONG,
             p95_seconds__tdigest=BYTES, clients__hashes=BYTES, clients__hll=BYTES, date=DATE),
    ),
    "target_health": (
        ["minute", "target_group", "status_class"],
        dict(minute=TIME, target_group=TEXT, status_class=LONG, requests=LONG, answered=LONG, received_bytes=LONG,
             received_bytes__sum=EXACT, sent_bytes=LONG, sent_bytes__sum=EXACT, slowest=DOUBLE, latency=BYTES, date=DATE),
    ),
    "top_talkers": (
        ["hour", "client_ip", "user_agent"],
        dict(hour=TIME, client_ip=TEXT, user_agent=TEXT, requests=LONG, failed=LONG, sent_bytes=LONG, sent_bytes__sum=EXACT,
             first_seen=TEXT, last_seen=TEXT, date=DATE),
    ),
    "reference": (
        ["minute", "event", "country", "elb_status_code"],
        dict(minute=TIME, event=TEXT, country=TEXT, elb_status_code=INT, events=LONG, amount=DOUBLE, sent_bytes=LONG,
             sent_bytes__sum=EXACT, users=BYTES, date=DATE),
    ),
    "legacy": (
        ["hour", "elb_response_code", "request_verb"],
        dict(hour=TIME, elb_response_code=TEXT, request_verb=TEXT, requests=LONG, seconds=DOUBLE, last_agent=TEXT, clients=BYTES,
             date=DATE),
    ),
    "balancers": (
        ["date", "elb", "type"],
        dict(elb=TEXT, type=TEXT, served=LONG, lowest_status=INT, fastest=DOUBLE, any_unanswered=BOOLEAN, all_answered=BOOLEAN,
             seconds=DOUBLE, ports=BYTES, times=BYTES, traces=BYTES, sizes=BYTES, date=DATE),
    ),
    "rejected_lines": (
        [],
        dict(log_file=TEXT, line_number=LONG, reason=TEXT, line=TEXT, date=DATE),
    ),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("logmill", help="the program")
    parser.add_argument("tables", type=Path, help="the folder of tables")
    arguments = parser.parse_args()

    checks = Checks()
    logmill = Logmill(arguments.logmill, arguments.tables)
    for folder in sorted(log.parent for log in logmill.tables.glob("*/_delta_log")):
        check_table(checks, logmill, folder)
    check_hidden_names(checks, logmill)
    return checks.close()


def check_table(checks, logmill, folder):
    name = folder.name
    table = deltalake.DeltaTable(folder)
    rows = check_readers(checks, logmill, folder)
    check_protocol(checks, name, table)
    check_types(checks, name, rows.schema)
    files = [DataFile(folder, add) for add in pa.table(table.get_add_actions(flatten=True)).to_pylist()]
    check_files_exist(checks, folder, files)
    check_statistics(checks, name, files)
    keys, _ = TABLES.get(name, ([], {}))
    if keys:
        check_one_row_per_key(checks, name, rows, keys)
        check_order(checks, name, files, [key for key in keys if key != "date"])
        check_hours(checks, name, files, keys[0])


# ---- readers ---------------------------------------------------------------------------------------------------------


def read_with_polars(folder, logmill):
    return polars.scan_delta(str(folder)).collect().to_arrow()


def read_with_deltalake(folder, logmill):
    return deltalake.DeltaTable(folder).to_pyarrow_table()


def read_with_duckdb(folder, logmill):
    db = duckdb.connect()
    db.execute("SET TimeZone = 'UTC'; SET autoinstall_known_extensions = false")
    db.execute(f"LOAD '{delta_extension()}'")
    return db.execute("SELECT * FROM delta_scan($1)", [str(folder)]).fetch_arrow_table()


def delta_extension():
    """The file that the package duckdb-ext-delta has installed beside DuckDB."""
    packages = Path(duckdb.__file__).parent.parent
    return next(packages.glob(f"duckdb_ext/extensions/v{duckdb.__version__}/*/delta.duckdb_extension"))


def read_with_logmill(folder, logmill):
    return logmill.query(f"SELECT * FROM {logmill.groups(folder.name)}")


READERS = {
    "logmill": read_with_logmill,
    "Polars": read_with_polars,
    "deltalake": read_with_deltalake,
    "DuckDB": read_with_duckdb,
}


def check_readers(checks, logmill, folder):
    """Checks that all readers return the same columns and rows. Returns the rows."""
    tables = {reader: uniform(read(folder, logmill)) for reader, read in READERS.items()}
    reference = tables["logmill"]
    for reader, table in tables.items():
        name = f"{folder.name}: {table.num_rows} rows, as {reader} reads them"
        checks.check(name, differences(table, reference))
    return reference


def uniform(table):
    """The table with Arrow's plain types instead of large and view types, arrays and maps as text, and sorted columns and rows."""
    types = {pa.large_string(): TEXT, pa.string_view(): TEXT, pa.large_binary(): BYTES, pa.binary_view(): BYTES}
    for place, field in enumerate(table.schema):
        if pa.types.is_nested(field.type):
            table = table.set_column(place, field.name, nested_as_text(table[field.name]))
    names = sorted(table.column_names)
    schema = pa.schema([(name, types.get(type_of(table, name), type_of(table, name))) for name in names])
    table = table.select(names).cast(schema)
    order = [(name, "ascending") for name in names if schema.field(name).type not in (BYTES, DOUBLE)]
    return table.sort_by(order).combine_chunks()


def nested_as_text(column):
    """Arrays and maps as text. To Polars, a map is an array of structs."""

    def plain(value):
        if isinstance(value, list):
            return [plain(element) for element in value]
        return tuple(value.values()) if isinstance(value, dict) else value

    return pa.array([None if value is None else repr(plain(value)) for value in column.to_pylist()], TEXT)


def type_of(table, name):
    return table.schema.field(name).type


def differences(table, reference):
    if table.schema != reference.schema:
        return [f"columns {table.schema}", f"expected {reference.schema}"]
    if table.num_rows != reference.num_rows:
        return [f"{table.num_rows} rows, expected {reference.num_rows}"]
    if table.equals(reference):
        return []
    pairs = zip(table.to_pylist(), reference.to_pylist())
    return [f"{row}, expected {other}" for row, other in pairs if row != other]


# ---- metadata of the table -------------------------------------------------------------------------------------------


def check_protocol(checks, name, table):
    protocol = table.protocol()
    versions = (protocol.min_reader_version, protocol.min_writer_version)
    features = (protocol.reader_features or [], protocol.writer_features or [])
    checks.equal(f"{name}: reader version 1, writer version 2, no features", (versions, features), ((1, 2), ([], [])))
    checks.equal(f"{name}: partitioned by date", table.metadata().partition_columns, ["date"])


def check_types(checks, name, schema):
    got = {field.name: field.type for field in schema}
    keys, expected = TABLES.get(name, ([], {}))
    if expected:
        expected = expected | (dict(is_other=BOOLEAN) if keys else {})
        checks.equal(f"{name}: the documented columns and types", got, expected)
    wrong = [f"{column}: {type}" for column, type in got.items() if not is_portable(type)]
    wrong += ["the partition is not a date"] if got["date"] != DATE else []
    checks.check(f"{name}: types that every engine supports", wrong)


def is_portable(type):
    """Athena has no unsigned integers, and Delta's timestamps are in microseconds and UTC."""
    return not pa.types.is_unsigned_integer(type) and (not pa.types.is_timestamp(type) or type == TIME)


class DataFile:
    """A live file of a table: what its `add` action says, and its rows."""

    def __init__(self, folder, add):
        self.path = add["path"]
        self.date = add["partition.date"]
        self.bytes = add["size_bytes"]
        self.add = add
        self.on_disk = folder / add["path"]
        # As a file object: with a path, its folder would be parsed as a column.
        with open(self.on_disk, "rb") as file:
            self.rows = pa.parquet.read_table(file)

    def statistic(self, kind, column):
        return self.add.get(f"{kind}.{column}")


def check_files_exist(checks, folder, files):
    wrong = [f.path for f in files if f.on_disk.stat().st_size != f.bytes]
    checks.check(f"{folder.name}: {len(files)} files, of the size in the log", wrong)
    hidden = [f.path for f in files if "/_" in "/" + f.path.removeprefix("_generations/")]
    checks.check(f"{folder.name}: none under a hidden name but that of a rebuilt table's folder", hidden)


def check_statistics(checks, name, files):
    """Checks the counts of rows and NULLs, and that each column's values are within its bounds."""
    wrong = []
    for file in files:
        if file.add["num_records"] != file.rows.num_rows:
            wrong.append(f"{file.path}: {file.add['num_records']} records in the log, {file.rows.num_rows} in the file")
        for column in list(file.rows.schema)[:COLUMNS_WITH_STATISTICS]:
            wrong += [f"{file.path}: {column.name} {problem}" for problem in wrong_statistics(file, column)]
    checks.check(f"{name}: statistics of every ordered column", wrong)


def wrong_statistics(file, column):
    values = file.rows[column.name]
    if column.type == BYTES or pa.types.is_nested(column.type):
        return
    if file.statistic("null_count", column.name) != values.null_count:
        yield f"has {file.statistic('null_count', column.name)} NULLs, and there are {values.null_count}"
    present = values.drop_null().to_pylist()
    if not present or column.type == BOOLEAN:
        return
    low, high = file.statistic("min", column.name), file.statistic("max", column.name)
    if low is None or high is None:
        yield f"has no bounds: {low!r} to {high!r}"
    elif not (low <= min(present) and max(present) <= high):
        yield f"is not within {low!r} to {high!r}: {min(present)!r} to {max(present)!r}"


# ---- logmill's own guarantees ----------------------------------------------------------------------------------------


def check_one_row_per_key(checks, name, rows, keys):
    counts = Counter(zip(*(rows[key].to_pylist() for key in keys)))
    doubled = [f"{count} rows: {key}" for key, count in counts.items() if count > 1]
    checks.check(f"{name}: one row for each of {len(counts)} group keys", doubled)


def check_order(checks, name, files, keys):
    """Checks that each file is sorted by group key, NULL first and texts by bytes, which is also the order of their characters."""
    wrong = []
    for file in files:
        rows = list(zip(*([(v is not None, v) for v in file.rows[key].to_pylist()] for key in keys)))
        wrong += [f"{file.path}: {after} after {before}" for before, after in zip(rows, rows[1:]) if not before < after]
    checks.check(f"{name}: files sorted by {', '.join(keys)}", wrong)


def check_hours(checks, name, files, time):
    """Checks that no hour or day is in two files, and that each is in the partition of its day."""
    hours, wrong = Counter(), []
    for file in files:
        if time == "date":
            hours[file.date] += 1
            continue
        times = set(file.rows[time].to_pylist())
        hours.update({moment.replace(minute=0, second=0, microsecond=0) for moment in times})
        wrong += [f"{file.path}: {moment}" for moment in times if moment.date() != file.date]
    wrong += [f"{hour} is in {count} files" for hour, count in hours.items() if count > 1]
    checks.check(f"{name}: {len(hours)} hours or days, each in one file and in its partition", wrong)


def check_hidden_names(checks, logmill):
    """Checks that no reader sees data under names that begin with `_`, in a copy of the tables."""
    with tempfile.TemporaryDirectory(prefix="logmill-readers-") as copy:
        shutil.copytree(logmill.tables, copy, dirs_exist_ok=True)
        copied = Logmill(logmill.binary, copy)
        for folder in sorted(log.parent for log in copied.tables.glob("*/_delta_log")):
            for data_file in list(folder.glob("**/date=*/*.parquet"))[:1]:
                for place in [folder / "_planted", folder / "_staging" / "planted", data_file.parent / "_planted"]:
                    place.mkdir(parents=True)
                    shutil.copy(data_file, place)
            seen = []
            for reader, read in READERS.items():
                before = uniform(read(logmill.tables / folder.name, logmill))
                seen += [f"{reader}: {problem}" for problem in differences(uniform(read(folder, copied)), before)]
            checks.check(f"{folder.name}: files under hidden names change nothing", seen)


if __name__ == "__main__":
    sys.exit(main())
