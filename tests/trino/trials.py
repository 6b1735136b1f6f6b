"""What logmill and Trino make of an expression of expressions.py, and whether it is the same."""

import math
import re
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import chain

import airlift
import expressions

DAY = "date_trunc('day', from_iso8601_timestamp(time))"
ROWS = "SELECT trace_id AS line, {} FROM alb_access_logs"
GROUPS = f"SELECT {DAY} AS day, type, request_proto, {{}} FROM alb_access_logs GROUP BY 1, 2, 3"
SUM_TOLERANCE = 1e-12


@dataclass
class Result:
    """Of an expression: its values by key, or why there are none."""

    values: dict = field(default_factory=dict)
    type: str = ""  # if it is known
    refusal: str = ""
    failure: str = ""
    unstorable: bool = False  # whether lines are left out only because a table can't store their time


@dataclass
class Trial:
    """An expression, and Trino's result."""

    expression: str
    template: str  # the SQL around it; of conditions, they are different
    keys: list[str]
    trino: Result = field(default_factory=Result)

    def outcome(self, ours):
        """The outcome of logmill's result, and a description."""
        if ours.refusal:
            return ("equal", "neither knows it") if self.trino.failure else ("refused", ours.refusal)
        if ours.failure and self.trino.failure:
            return "equal", "both fail"
        if ours.failure and not ours.unstorable:
            return "differs", f"logmill fails: {ours.failure}"
        if self.trino.failure:
            return "differs", f"Trino: {self.trino.failure}"
        mine, trinos = ours.values, self.trino.values
        wrong = [key for key in trinos | mine if not same(value(mine, key), value(trinos, key), self.expression)]
        if ours.unstorable:
            wrong = [key for key in wrong if key in mine or not is_unstorable(trinos[key])]
        if wrong:
            one, other = value(mine, wrong[0]), value(trinos, wrong[0])
            return "differs", f"{len(wrong)} of {len(trinos)}: {wrong[0]}: logmill {shown(one)}, Trino {shown(other)}"
        is_of_kind = not ours.type or kind(ours.type) == kind(self.trino.type)
        return "equal", "" if is_of_kind else f"{ours.type} for {self.trino.type}"

    @property
    def is_condition(self):
        return self.expression.startswith("WHERE ")


def make_trials():
    of_rows = [
        expressions.COLUMNS, expressions.URL, expressions.TEXT, expressions.NUMBERS, expressions.TIMES, expressions.PADDED, expressions.ROUNDED,
        expressions.OTHERS, expressions.ARRAYS, expressions.JSON, expressions.MATH, expressions.BITS, expressions.CHARACTERS, expressions.BINARY, expressions.IP,
    ]
    trials = [Trial(expression, ROWS, ["line"]) for expression in dict.fromkeys(chain(*of_rows))]
    trials += [Trial(expression, GROUPS, ["day", "type", "request_proto"]) for expression in expressions.AGGREGATES]
    return trials + [Trial(f"WHERE {condition}", f"{ROWS} WHERE {condition}", ["line"]) for condition in expressions.CONDITIONS]


def batches(pairs, size):
    """Lists of trials and their results that one query can compute, of this length at most."""
    alike = {}
    for trial, result in pairs:
        alike.setdefault(trial.template, []).append((trial, result))
    return [members[start : start + size] for members in alike.values() for start in range(0, len(members), size)]


def together(batch, written=str):
    """The SQL of a batch. The expressions, as `written`, are its columns v0, v1 and so on."""
    trials = [trial for trial, _ in batch]
    values = ", ".join(f"{'1' if trial.is_condition else written(trial.expression)} AS v{number}" for number, trial in enumerate(trials))
    return trials[0].template.replace("{}", values, 1)


# ---- values ----------------------------------------------------------------------------------------------------------


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


def as_python(value):
    """A value of Arrow. Days and times of years that Python doesn't support become text, as Trino formats them."""
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
