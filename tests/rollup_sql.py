"""Translates a rollup's SQL for DuckDB, and parses its columns. The text stays Trino's, except the few calls that have other
names in DuckDB. The two sketches are replaced by what they summarise: all values, or each distinct value."""

import re
from dataclasses import dataclass
from pathlib import Path

from log_lines import OF_FILE


@dataclass
class Column:
    name: str
    expression: str
    is_key: bool

    @property
    def aggregate(self):
        """The name of the aggregate function that is called."""
        return None if self.is_key else self.expression.partition("(")[0].strip().lower()


@dataclass
class Rollup:
    name: str
    log_table: str
    duckdb_sql: str
    columns: list[Column]

    @property
    def keys(self):
        return [column.name for column in self.columns if column.is_key]

    def sketches(self, function):
        return [column.name for column in self.columns if column.aggregate == function]


def load(path, db, time_columns):
    """Reads a rollup's file. One without a time among its keys, or without keys, gets the day of each line as the column `date`."""
    sql = re.sub(r"--.*", "", Path(path).read_text()).strip()
    select, rest = re.fullmatch(r"(?is)SELECT\s(.*?)\sFROM\s(.*)", sql).groups()
    log_table = re.match(r"\w+", rest)[0]
    rest, _, group_by = re.fullmatch(r"(?is)(.*?)(\sGROUP BY\s+([\d, ]+))?", rest).groups()
    keys = [int(position) - 1 for position in (group_by or "").split(",") if position]
    columns = [column(item, position in keys) for position, item in enumerate(select_items(select, log_table, db))]

    if not has_time_key(db, rest, columns):
        day = f'CAST(from_iso8601_timestamp("{time_columns[log_table]}") AS date)'
        columns.append(Column("date", day, is_key=bool(keys)))
    outputs = ", ".join(f'{in_duckdb(each.expression)} AS "{each.name}"' for each in columns)
    grouped = ", ".join(str(n) for n, each in enumerate(columns, 1) if each.is_key)
    duckdb_sql = f"SELECT {outputs} FROM {rest}" + (f" GROUP BY {grouped}" if grouped else "")
    return Rollup(Path(path).stem, log_table, duckdb_sql, columns)


def has_time_key(db, rest, columns):
    keys = [in_duckdb(each.expression) for each in columns if each.is_key]
    if not keys:
        return False
    types = [row[1] for row in db.execute(f"DESCRIBE SELECT {', '.join(keys)} FROM {rest}").fetchall()]
    return "TIMESTAMP WITH TIME ZONE" in types or "DATE" in types


def column(item, is_key):
    aliased = re.fullmatch(r"(?is)(.*\S)\s+AS\s+(\w+)", item)
    return Column(aliased[2], aliased[1], is_key) if aliased else Column(item.strip('"'), item, is_key)


def select_items(select, log_table, db):
    """The items of a SELECT: its text, split at commas outside of brackets and quotes."""
    if select.strip() == "*":
        return [f'"{row[0]}"' for row in db.execute(f"DESCRIBE {log_table}").fetchall() if row[0] not in OF_FILE]
    items, depth, quoted = [""], 0, False
    for character in select:
        quoted ^= character == "'"
        depth += 0 if quoted else (character == "(") - (character == ")")
        if character == "," and depth == 0 and not quoted:
            items.append("")
        else:
            items[-1] += character
    return [item.strip() for item in items]


def in_duckdb(expression):
    expression = re.sub(r"(?is)try_cast\((.*?)\s+AS\s+double\)", r"double_of_text(\1)", expression)
    expression = re.sub(r"(?i)\bapprox_set\(", "histogram(", expression)
    expression = re.sub(r"(?i)\bevery\(", "bool_and(", expression)
    return re.sub(r"(?i)\btdigest_agg\(", "list(", expression)
