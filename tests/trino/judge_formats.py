"""The same log lines as text, JSON and Parquet: what `logmill query --logs` reads of them must be what Trino reads. Text by the
regular expressions of AWS's DDL, JSON and Parquet by the readers of the Hive connector, with the names that AWS documents for
deliveries. A rollup over all of them must be Trino's GROUP BY. Trino has no reader of W3C and plain logs: of these, logmill must
read the rows that it reads of Parquet.

AWS's expressions don't read every line: a row is NULL in every column then. logmill reads such a line as far as it goes. The
checks say how many such lines there are, and compare the others.
"""

import gzip
import json
import random
import re
from datetime import datetime, timedelta

import kinds
import pyarrow as pa
import pyarrow.parquet
import raw
from logmill import Logmill

USUAL = 250
# The time of the first odd record that has names for its fields.
ODD_SINCE = "2026-11-20T14"
SUM_TOLERANCE = 1e-9
ARROW = {"int": pa.int32(), "bigint": pa.int64(), "double": pa.float64(), "timestamp": pa.timestamp("us", "UTC")}
TRINO = {"int": "integer"}
LISTS = {"actions_executed": ",", "target_port_list": " ", "target_status_code_list": " "}
# In a line of text, any field of these may be in quotes, which are not part of it. AWS's expressions have quotes only around the
# subject of a certificate, and leave others.
MAY_BE_QUOTED = ["alb_connection_logs", "alb_health_check_logs"]
SEPARATED = ["w3c", "plain"]
# Columns at the end of a line that it may lack. AWS's expressions have an empty text for them, and logmill NULL.
MAY_END_BEFORE = {
    "alb_access_logs": ["conn_trace_id"],
    "alb_connection_logs": ["conn_trace_id"],
    "alb_health_check_logs": ["elb", "ip_address"],
    "nlb_tls_logs": ["tls_connection_creation_time"],
}


# ---- written ---------------------------------------------------------------------------------------------------------


def write(folder):
    odd_lines = kinds.odd_lines()
    for kind in kinds.KINDS:
        place = folder / "logs" / kind.table
        usual = kinds.records(kind, 1, USUAL, timedelta(hours=10))
        write_text(kind, place / "text" / "odd", odd_lines[kind.table])
        write_text(kind, place / "text" / "usual", [kind.line(record) for record in usual])
        named = kinds.records(kind, 2, USUAL, timedelta(hours=12))
        odd = kinds.odd_records(kind, timedelta(hours=14))
        write_json(kind, place / "json", named, odd)
        write_parquet(kind, place / "strings", pa.Table.from_pylist(named + odd), row_group_size=100)
        write_parquet(kind, place / "typed", typed(kind, named), compression="zstd")
        write_separated(kind, place / "w3c", named, "\t", ["#Version: 1.0", f"#Fields: {' '.join(kind.fields)}"])
        write_separated(kind, place / "plain", named, "^", [])
        (folder / "rollups" / kind.table).mkdir(parents=True)
        (folder / "rollups" / kind.table / f"rolled_{kind.table}.sql").write_text(kind.rollup)
        (folder / "rollups" / kind.table / "plain.txt").write_text(f"plain/** {kind.table} ^ {' '.join(kind.fields)}\n")
    write_parquet(kinds.ALB, folder / "logs" / "lists", with_lists(kinds.records(kinds.ALB, 2, 9, timedelta(hours=12))))


def write_text(kind, folder, lines):
    folder.mkdir(parents=True)
    lines = [line if isinstance(line, bytes) else line.encode() for line in lines]
    (folder / kind.file_name(1, ".log.gz")).write_bytes(gzip.compress(b"".join(line + b"\n" for line in lines), mtime=0))


def write_separated(kind, folder, records, separator, directives):
    """Values as they are, without quotes around them. None has the separator in it."""
    folder.mkdir(parents=True)
    lines = directives + [separator.join(record[name] for name in kind.fields) for record in records]
    (folder / kind.file_name(4, ".log.gz")).write_bytes(gzip.compress("".join(f"{line}\n" for line in lines).encode(), mtime=0))


def write_json(kind, folder, usual, odd):
    """Numbers as numbers or as texts, missing values as `-`, null or no member, members in any order, and some more of them."""
    chance = random.Random(5)
    folder.mkdir(parents=True)
    lines = [json.dumps(record) for record in odd]
    for record in usual:
        how = chance.choice(["texts", "numbers", "nulls", "absent", "more"])
        if how == "numbers":
            record = {name: as_number(kind, name, value) for name, value in record.items()}
        elif how == "nulls":
            record = {name: None if value == "-" else value for name, value in record.items()}
        elif how == "absent":
            record = {name: value for name, value in record.items() if value != "-"}
        elif how == "more":
            record = {**dict(reversed(record.items())), "field_99": chance.choice([None, 7, ["x", {"y": 1}], {"z": "é"}])}
        lines.append(json.dumps(record, ensure_ascii=chance.random() < 0.5, separators=chance.choice([(",", ":"), (", ", ": ")])))
    (folder / kind.file_name(2, ".json.gz")).write_bytes(gzip.compress("".join(f"{line}\n" for line in lines).encode(), mtime=0))


def as_number(kind, name, value):
    if kind.types.get(name) in ("int", "bigint", "double") and value != "-":
        return float(value) if kind.types[name] == "double" else int(value)
    return value


def write_parquet(kind, folder, table, **options):
    folder.mkdir(parents=True)
    pa.parquet.write_table(table, folder / kind.file_name(3, ".parquet"), **options)


def typed(kind, records):
    """Missing numbers are NULL. One column's name has capitals, and one column is of no documented field."""
    columns = {}
    for name in kind.fields:
        values = [record[name] for record in records]
        if found := kind.types.get(name):
            values = pa.array([as_typed(value, found) for value in values], ARROW[found])
        columns["Elb" if name == "elb" else name] = values
    return pa.table({**columns, "field_99": list(range(len(records)))})


def as_typed(value, kind):
    if value == "-":
        return None
    if kind == "timestamp":
        return datetime.fromisoformat(value if value.endswith("Z") else f"{value}Z")
    return float(value) if kind == "double" else int(value)


def with_lists(records):
    """Requests with several actions and targets."""
    chance = random.Random(6)
    items = {"actions_executed": ["waf", "forward"], "target_port_list": ["10.0.0.1:80", "10.0.0.2:80"], "target_status_code_list": ["502", "200"]}
    return pa.Table.from_pylist([record | {name: values[: chance.randrange(3)] for name, values in items.items()} for record in records])


# ---- computed --------------------------------------------------------------------------------------------------------


def compute(binary, folder):
    """What logmill reads: rows of each folder, and a rollup over all folders that Trino can read too, one run after another."""
    logmill = Logmill(binary, folder / "none")
    found = {}
    for kind in kinds.KINDS:
        place = folder / "logs" / kind.table
        for shape in ("text", "text/usual", "json", "strings", "typed"):
            found[kind.table, shape] = query(logmill, place / shape, f"SELECT * FROM {kind.table}")
        for shape in SEPARATED:
            rollups = ["--rollups", folder / "rollups" / kind.table]
            found[kind.table, shape] = query(logmill, place / shape, f"SELECT * FROM {kind.table}", *rollups)
        rolled = Logmill(binary, folder / "tables" / kind.table)
        for shape in ("text/usual", "json", "strings", "typed"):
            rolled.run(place / shape, folder / "rollups" / kind.table)
        found[kind.table, "rollup"] = rolled.query(f"SELECT * FROM rolled_{kind.table}").to_pylist()
    found["lists"] = query(logmill, folder / "logs" / "lists", "SELECT * FROM alb_access_logs")
    return found


def query(logmill, logs, sql, *options):
    return logmill.rows("query", sql, "--logs", logs, *options).to_pylist()


# ---- judged ----------------------------------------------------------------------------------------------------------


def judge(checks, trino, bucket, folder, computed):
    bucket.put_folder(folder / "logs", trino.schema)
    for kind in kinds.KINDS:
        create_tables(trino, kind, f"s3://{raw.BUCKET}/{trino.schema}")
    types = {name: "array(varchar)" if name in LISTS else "varchar" for name in kinds.ALB.fields}
    trino.query(raw.create_named("lists", types, "PARQUET", f"s3://{raw.BUCKET}/{trino.schema}/lists/"))
    ours = computed()
    for kind in kinds.KINDS:
        lines = gzip.decompress(next((folder / "logs" / kind.table / "text" / "odd").iterdir()).read_bytes()).decode().splitlines()
        check_text(checks, trino, kind, ours[kind.table, "text"], lines)
        for shape in ("json", "strings", "typed"):
            rows = trino.query(f"SELECT {kind.select(typed=shape == 'typed')} FROM {kind.table}_{shape}").dicts()
            check_rows(checks, f"{kind.table} as {shape}", ours[kind.table, shape], rows, kind.columns)
        check_typed(checks, kind, ours)
        for shape in SEPARATED:
            strings = [row for row in ours[kind.table, "strings"] if row["time"] < ODD_SINCE]
            check_rows(checks, f"{kind.table} as {shape}, compared with Parquet", ours[kind.table, shape], strings, kind.columns)
        check_rollup(checks, trino, kind, ours[kind.table, "rollup"])
    check_lists(checks, trino, ours["lists"])


def create_tables(trino, kind, location):
    place = f"{location}/{kind.table}"
    trino.query(raw.create_table(kind.table, f"{place}/text/", f"{kind.table}_text"))
    trino.query(raw.create_table(kind.table, f"{place}/text/usual/", f"{kind.table}_usual"))
    strings = {name: "varchar" for name in kind.fields}
    trino.query(raw.create_named(f"{kind.table}_json", strings, "JSON", f"{place}/json/"))
    trino.query(raw.create_named(f"{kind.table}_strings", strings, "PARQUET", f"{place}/strings/"))
    types = {name: TRINO.get(type_, type_) for name, type_ in kind.types.items()}
    trino.query(raw.create_named(f"{kind.table}_typed", strings | types, "PARQUET", f"{place}/typed/"))


def check_text(checks, trino, kind, ours, odd_lines):
    """A line's time identifies it."""
    columns = raw.columns_of(kind.table)
    rows = trino.query(f"SELECT * FROM {kind.table}_text").dicts()
    _, regex = raw.TABLES[kind.table]
    unread = [line for line in odd_lines if not re.fullmatch(regex, line)]
    empty = [row for row in rows if set(row.values()) == {None}]
    checks.equal(f"{kind.table} as text: lines that AWS's regular expression does not read", len(empty), len(unread))
    checks.equal(f"{kind.table} as text: rows of Trino, with those", len(rows), len(odd_lines) + USUAL)
    mine, trinos = {row["time"]: row for row in ours}, {row["time"]: row for row in rows if row["time"] is not None}
    checks.check(f"{kind.table} as text: every line has a time of its own", [] if len(mine) == len(ours) else ["one time twice"])
    both = [time for time in mine if time in trinos]
    wrong, ended, quoted = [], 0, 0
    for time in both:
        for name in columns:
            one, other = mine[time][name], trinos[time][name]
            if one is None and other == "" and name in MAY_END_BEFORE[kind.table]:
                ended += 1
            elif other == f'"{one}"' and kind.table in MAY_BE_QUOTED:
                quoted += 1
            elif not same(one, other):
                wrong.append(f"{time}: {name} is {one!r}, by Trino {other!r}")
    rejected = [time for time in trinos if time not in mine]
    wrong += [f"logmill rejects the line of {time}" for time in rejected if is_time(time)]
    checks.check(
        f"{kind.table} as text: {len(both)} lines in {len(columns)} columns; {len(mine) - len(both)} more lines that AWS's regular"
        f" expression does not read, {len(rejected)} that it reads and that have no time; {ended} values that a line ends before"
        f" are NULL, and empty texts by AWS's expression; {quoted} values are without the quotes that AWS's expression leaves", wrong
    )


def is_time(text):
    try:
        return "T" in text and bool(datetime.fromisoformat(text))
    except ValueError:
        return False


def check_rows(checks, name, ours, trinos, columns):
    """A row's time identifies it."""
    mine, theirs = ({row["time"]: row for row in rows} for rows in (ours, trinos))
    wrong = [f"{len(ours)} rows, expected {len(trinos)}"] if len(ours) != len(trinos) or len(mine) != len(ours) else []
    wrong += [f"no row of {time}" for time in theirs if time not in mine]
    for time in filter(theirs.get, mine):
        for column in columns:
            one, other = mine[time][column], theirs[time][column]
            wrong += [] if same(one, other) else [f"{time}: {column} is {one!r}, expected {other!r}"]
    checks.check(f"{name}: {len(ours)} rows in {len(columns)} columns", wrong)


def check_typed(checks, kind, ours):
    """Typed columns give the rows that columns of texts give. They have NULL for `-`."""
    strings = {row["time"]: row for row in ours[kind.table, "strings"]}
    wrong = []
    for row in ours[kind.table, "typed"]:
        other = strings[row["time"]]
        for name in kind.columns:
            one, two = row[name], other[name]
            wrong += [] if one == two or one is None and two == "-" else [f"{row['time']}: {name} is {one!r}, as text {two!r}"]
    checks.check(f"{kind.table}: typed columns give the texts of columns of texts", wrong)
    others = {json.loads(row["unhandled_fields"])["field_99"] for row in ours[kind.table, "typed"]}
    checks.equal(f"{kind.table} as typed: a column of no documented field", sorted(others), list(range(USUAL)))


def check_rollup(checks, trino, kind, ours):
    columns = ", ".join(f'"{name}"' for name in raw.columns_of(kind.table))
    named = lambda shape: f"SELECT {columns} FROM (SELECT {kind.select(typed=shape == 'typed')} FROM {kind.table}_{shape})"
    lines = f"SELECT {columns} FROM {kind.table}_usual UNION ALL {' UNION ALL '.join(map(named, ['json', 'strings', 'typed']))}"
    trinos = trino.query(re.sub(rf"\b{kind.table}\b", lambda _: f"({lines})", kind.rollup)).dicts()
    keys = [name for name in trinos[0] if re.search(rf"\bAS {name}\b|\b{name},", kind.rollup.partition("count(*)")[0])]
    mine, theirs = ({tuple(row[name] for name in keys): row for row in rows} for rows in (ours, trinos))
    wrong = [f"no group {key}" for key in theirs if key not in mine] + [f"too many: {key}" for key in mine if key not in theirs]
    for key in filter(theirs.get, mine):
        for name, other in theirs[key].items():
            wrong += [] if same(mine[key][name], other) else [f"{key}: {name} is {mine[key][name]!r}, by Trino {other!r}"]
    checks.check(f"{kind.table}: a rollup over text, JSON and Parquet has Trino's {len(trinos)} groups by {', '.join(keys)}", wrong)


def check_lists(checks, trino, ours):
    """Fields that are lists: the text log separates actions by commas, and targets by spaces."""
    joined = ", ".join(f"array_join({name}, '{separator}') AS {name}" for name, separator in LISTS.items())
    rows = trino.query(f"SELECT time, {joined} FROM lists").dicts()
    check_rows(checks, "alb_access_logs as Parquet with lists, joined as the text log writes them", ours, rows, LISTS)


def same(one, other):
    if isinstance(one, float) and isinstance(other, float):
        return abs(one - other) <= SUM_TOLERANCE * max(abs(one), abs(other))
    return one == other
