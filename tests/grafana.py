"""Checks the dashboards of infra/grafana: that Grafana's schema knows them, that they ask only for metrics that a worker exports, and that
their SQL runs.

    python3 tests/grafana.py target/debug/logmill METRICS TABLES

METRICS is a file with what /metrics of a worker has answered. TABLES has the example rollups' tables over testdata/.
"""

import enum
import json
import re
import subprocess
import sys
import typing
from pathlib import Path

import promql_parser
import yaml
from grafana_foundation_sdk.cog import plugins
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from checks import Checks

PROJECT = Path(__file__).resolve().parent.parent
GRAFANA = PROJECT / "infra" / "grafana"

# The day of the logs in testdata/.
FROM, TO = "2026-11-20 00:00:00", "2026-11-21 00:00:00"

# Labels that Prometheus adds to what it scrapes.
OF_PROMETHEUS = {"job", "instance"}

# Has a value only when log files have come for an hour, in order.
COMES_LATE = {"logmill_final_until_timestamp_seconds": {"table"}}

# What a histogram and a counter are exported as.
ENDINGS = {"histogram": ["_bucket", "_sum", "_count"], "counter": ["_total"]}


def main():
    binary, metrics, tables = sys.argv[1:]
    plugins.register_default_plugins()
    checks = Checks()
    boards = {path.stem: json.loads(path.read_text()) for path in sorted((GRAFANA / "dashboards").glob("*.json"))}
    checks.equal("there are two dashboards", sorted(boards), ["tables", "workers"])
    for name, board in boards.items():
        checks.check(f"{name}: Grafana's schema knows each field and its type", against_schema(board))
        checks.check(f"{name}: panels lie side by side, and say what they show", layout(board))
    checks.check("provisioning fits the dashboards", provisioning(boards.values()))

    exported = exported_metrics(Path(metrics).read_text()) | COMES_LATE
    asked = set()
    for title, target in targets(boards["workers"]):
        checks.check(f"workers: {title}: {target['legendFormat'] or 'a number'}", promql(target, exported, asked))
    known = {metric for metric in exported if not metric.endswith(("_bucket", "_sum", "_count"))}
    histograms = {metric.removesuffix("_bucket") for metric in exported if metric.endswith("_bucket")}
    shown = {re.sub("_(bucket|sum|count)$", "", metric) for metric in asked}
    checks.check("workers: every metric is on the dashboard", sorted((known | histograms) - shown))

    for title, target in targets(boards["tables"]):
        checks.check(f"tables: {title}", sql(target, binary, tables))
    return checks.close()


def targets(board):
    return [(panel["title"], target) for panel in board["panels"] for target in panel.get("targets", [])]


# --- Grafana's schema ----------------------------------------------------------------------------------------------


def against_schema(board):
    """Reads the dashboard into Grafana's own types, and writes it again. What they don't know is lost on the way."""
    parsed = Dashboard.from_json(board)
    yield from wrong_types(parsed, "dashboard")
    yield from lost(board, json.loads(json.dumps(parsed, cls=JSONEncoder)), "dashboard")


def lost(before, after, path):
    if isinstance(before, dict) and isinstance(after, dict):
        for key, value in before.items():
            yield from lost(value, after[key], f"{path}.{key}") if key in after else [f"{path}.{key} is unknown"]
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for place, (one, other) in enumerate(zip(before, after)):
            yield from lost(one, other, f"{path}[{place}]")
    elif before != after:
        yield f"{path} is {before!r}, and becomes {after!r}"


def wrong_types(thing, path):
    """The fields of a generated class, and below, that have another type than it declares."""
    for field, hint in typing.get_type_hints(type(thing)).items():
        value = getattr(thing, field)
        if not fits(value, hint):
            yield f"{path}.{field} is {value!r}, which is no {hint}"
        for part in value if isinstance(value, list) else [value]:
            if hasattr(type(part), "from_json") and not isinstance(part, enum.Enum):
                yield from wrong_types(part, f"{path}.{field}")


def fits(value, hint):
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Union:
        return any(fits(value, part) for part in parts)
    if origin is list:
        return isinstance(value, list) and all(fits(part, parts[0]) for part in value)
    if origin is dict:
        return isinstance(value, dict) and all(fits(part, parts[1]) for part in value.values())
    if origin is typing.Literal:
        return value in parts
    if hint is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return value in [member.value for member in hint]
    return not isinstance(hint, type) or hint is object or isinstance(value, hint)


def layout(board):
    panels = board["panels"]
    ids = [panel["id"] for panel in panels]
    if len(ids) != len(set(ids)):
        yield "two panels have the same id"
    taken = {}
    for panel in panels:
        place = panel["gridPos"]
        if place["x"] + place["w"] > 24:
            yield f"{panel['title']} is beyond the right edge"
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                if (x, y) in taken:
                    yield f"{panel['title']} lies on {taken[x, y]}"
                taken[x, y] = panel["title"]
        if panel["type"] != "row" and not panel["targets"]:
            yield f"{panel['title']} shows nothing"


def provisioning(boards):
    sources = yaml.safe_load((GRAFANA / "provisioning/datasources/logmill.yaml").read_text())["datasources"]
    kinds = {source["type"] for source in sources}
    for board in boards:
        variables = {variable["name"]: variable for variable in board["templating"]["list"]}
        for panel in board["panels"]:
            for one in [panel, *panel.get("targets", [])] if panel["type"] != "row" else []:
                source = one["datasource"]
                variable = variables.get(source["uid"].removeprefix("${").removesuffix("}"))
                if not variable or variable["query"] != source["type"]:
                    yield f"{panel['title']}: no variable has the data source {source}"
                elif source["type"] not in kinds:
                    yield f"{panel['title']}: no data source of type {source['type']} is provisioned"
    (provider,) = yaml.safe_load((GRAFANA / "provisioning/dashboards/logmill.yaml").read_text())["providers"]
    if provider["type"] != "file" or not provider["options"]["path"].endswith("/dashboards"):
        yield f"the provider does not read the dashboards: {provider}"


# --- Metrics -------------------------------------------------------------------------------------------------------


def exported_metrics(text):
    """The labels of each metric that the worker has exported."""
    metrics = {}
    for name, kind in re.findall("^# TYPE (logmill_[a-z_]+) ([a-z]+)$", text, re.MULTILINE):
        for ending in ENDINGS.get(kind, [""]):
            series = re.findall(rf"^{name}{ending}(?:\{{(.*)\}})? ", text, re.MULTILINE)
            metrics[name + ending] = {label for one in series for label in re.findall('([a-z_]+)="', one)}
    return metrics


def promql(target, exported, asked):
    """Parses an expression. Its metrics and labels must be those that a worker exports."""
    text = target["expr"].replace("$__rate_interval", "1m").replace("$job", ".*")
    try:
        expression = promql_parser.parse(text)
    except ValueError as error:
        return [f"{text}: {error}"]
    wrong, labels, groups = [], set(), set()

    def visit(part):
        if isinstance(part, promql_parser.MatrixSelector):
            visit(part.vector_selector)
        elif isinstance(part, promql_parser.VectorSelector):
            asked.add(part.name)
            of_metric = exported.get(part.name, set()) | OF_PROMETHEUS
            if part.name not in exported:
                wrong.append(f"no worker exports {part.name}")
            labels.update(of_metric)
            matchers = {matcher.name for matcher in part.matchers.matchers}
            wrong.extend(f"{part.name} has no label {label}" for label in matchers - of_metric)
            if "job" not in matchers:
                wrong.append(f"{part.name} is not limited to the chosen jobs")
        elif isinstance(part, promql_parser.AggregateExpr) and part.modifier:
            groups.update(part.modifier.labels)

    promql_parser.walk(expression, visit)
    if not labels:
        wrong.append(f"{text} asks for no metric")
    wrong.extend(f"no metric here has the label {label}" for label in groups - labels)
    legend = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
    wrong.extend(f"the legend has the label {label}, and the result has not" for label in legend - (groups or labels))
    return wrong


# --- SQL -----------------------------------------------------------------------------------------------------------

# The macros of Grafana's plugin for Athena, as it replaces them.
MACROS = {
    r"\$__dateFilter\((\w+)\)": rf"\1 BETWEEN date '{FROM[:10]}' AND date '{TO[:10]}'",
    r"\$__timeFilter\((\w+)\)": rf"\1 BETWEEN TIMESTAMP '{FROM}' AND TIMESTAMP '{TO}'",
    r"\$__timeGroup\((\w+), '\$__interval'\)": r"FROM_UNIXTIME(FLOOR(TO_UNIXTIME(\1)/60)*60)",
}


def sql(target, binary, tables):
    """Runs a panel's query. It must have rows, and for lines over time a time first."""
    text = target["rawSQL"]
    for macro, replacement in MACROS.items():
        text = re.sub(macro, replacement, text)
    if "$" in text:
        return [f"an unknown macro: {text}"]
    command = [binary, "query", text, "--tables", tables, "--format", "csv"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = done.stdout.splitlines()
    if done.returncode or len(lines) < 2:
        return [done.stderr.strip() or "no rows", text]
    if target["format"] == 0 and not re.match(r"time,.*\n2026-11-2", done.stdout):
        return [f"no time first: {lines[:2]}"]
    return []


if __name__ == "__main__":
    sys.exit(main())
