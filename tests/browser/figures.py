"""The figures of a report, and those of `logmill query`. A report names the SQL of each picture, which is asked again here."""

import math
import re
from datetime import date, datetime

# Figures that are no whole numbers have six digits on the page.
TOLERANCE = 5.1e-6
# A percentile is read of merged digests. What they tell depends a little on the order in which they are merged, which differs from query to query:
# with few lines in a bucket by some percent.
PERCENTILE = re.compile(r"\bp\d\d")
PERCENTILE_TOLERANCE = 0.15
READ = """() => [...document.querySelectorAll('section.table')].map(section => {
    const text = (element) => element.textContent.trim();
    const cells = (row) => [...row.querySelectorAll('th, td:not(.bar)')].map(text);
    const figure = (element) => {
        const table = [...element.querySelectorAll('table')].find(table => !table.closest('.uplot'));
        const sql = element.querySelector('details.sql pre');
        return {
            title: text(element.querySelector('figcaption')), sql: sql && sql.textContent, is_of_keys: table?.matches('.bars') ?? false,
            is_result: element.matches('.result'), head: table ? cells(table.tHead.rows[0]) : [], rows: table ? [...table.tBodies[0].rows].map(cells) : [],
        };
    };
    const totals = section.querySelector('dl.totals');
    return {
        table: text(section.querySelector('h2')),
        sql: totals ? totals.nextElementSibling.querySelector('pre').textContent : null,
        totals: totals ? [...totals.children].map(one => [text(one.querySelector('dt')), one.title]) : [],
        figures: [...section.querySelectorAll('figure')].map(figure),
    };
})"""


def compare(checks, name, page, logmill):
    """Compares each figure of the page with what its SQL returns."""
    sections = page.evaluate(READ)
    count = 0
    for section in sections:
        differences = []
        if section["sql"]:
            differences += of_totals(section, logmill)
            count += len(section["totals"])
        for figure in filter(lambda figure: figure["sql"] and figure["rows"], section["figures"]):
            found = of_keys(figure, logmill) if figure["is_of_keys"] else [] if figure["is_result"] else of_chart(figure, logmill)
            differences += [f"{figure['title']}: {difference}" for difference in found]
            count += sum(len(row) - 1 for row in figure["rows"])
        checks.check(f"{name}: the figures of {section['table']} are those of a query", differences)
    print(f"        {count} figures of {len(sections)} tables")


def of_totals(section, logmill):
    row = logmill.query(section["sql"]).to_pylist()[0]
    expected = {name: value for name, value in row.items()}
    differences = []
    for name, text in section["totals"]:
        if name not in expected:
            differences.append(f"{name}: not in the answer of its SQL: {list(expected)}")
        elif not is_same(text, expected[name], nothing=("", "–", "0"), name=name):
            differences.append(f"{name}: {text!r} on the page, {expected[name]!r} by the query")
    return differences


def of_chart(figure, logmill):
    """A page may have more rows than the answer: buckets in which nothing was counted."""
    answer = logmill.query(figure["sql"])
    names = answer.column_names
    rows = [list(row.values()) for row in answer.to_pylist()]
    if names[1:2] == ["key"]:
        return of_split(figure, rows)
    by_time = {time_text(row[0]): dict(zip(names, row)) for row in rows}
    differences, seen = [], set()
    for row in figure["rows"]:
        # A day is a time at midnight.
        found = by_time.get(row[0]) or by_time.get(f"{row[0]} 00:00") or {}
        seen.add(found.get(names[0]))
        for head, text in zip(figure["head"][1:], row[1:]):
            head = head.removesuffix(" (bytes)")
            if head.endswith(", period before"):
                continue
            column = head if head in names else f"{figure['title'].partition(' by ')[0]} {head}"
            if column not in names:
                differences.append(f"{head} is not in the answer of its SQL: {names}")
            elif not is_same(text, found.get(column), nothing=("–", "0"), name=column):
                differences.append(f"{row[0]}, {head}: {text!r} on the page, {found.get(column)!r} by the query")
    unseen = {row[names[0]] for row in by_time.values()} - seen
    return differences + [f"{time} is not on the page" for time in unseen]


def of_split(figure, rows):
    """A chart with a line for each value of a key."""
    expected = {}
    for start, key, value in rows:
        expected[time_text(start), "NULL" if key is None else cell(key)] = value
    differences = []
    for row in figure["rows"]:
        for head, text in zip(figure["head"][1:], row[1:]):
            head = head.removesuffix(" (bytes)")
            value = expected.get((row[0], head), expected.get((f"{row[0]} 00:00", head)))
            if not is_same(text, value, nothing=("–", "0")):
                differences.append(f"{row[0]}, {head}: {text!r} on the page, {value!r} by the query")
    return differences


def of_keys(figure, logmill):
    """The list of the largest values of a key. Hostile texts are shown with escapes, so they are compared by place."""
    rows = [list(row.values()) for row in logmill.query(figure["sql"]).to_pylist()]
    shown = [row for row in figure["rows"] if row[0] != "all others"]
    differences = [] if len(shown) in (len(rows), len(rows) - 1) else [f"{len(shown)} rows on the page, {len(rows)} by the query"]
    for (key, text, *_), (expected, value) in zip(shown, rows):
        if not is_same(text, value) or (str(expected).isascii() and str(expected).isprintable() and len(str(expected)) < 100 and not is_key(key, expected)):
            differences.append(f"{key!r} {text!r} on the page, {expected!r} {value!r} by the query")
    return differences


def is_key(text, value):
    # The page's space is HTML's.
    return text == {None: "NULL", "": "empty"}.get(value, cell(value).strip()) or "\\" in text


def cell(value):
    return {True: "true", False: "false"}.get(value, str(value)) if isinstance(value, bool) else str(value)


def time_text(value):
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M")
    return value.isoformat() if isinstance(value, date) else str(value)


def is_same(text, value, nothing=("–",), name=""):
    """Whether a text of the page is this value of a query."""
    if value is None:
        return text in nothing
    number = text.replace(",", "")
    if isinstance(value, float):
        if not math.isfinite(value):
            return number == {math.inf: "Infinity", -math.inf: "-Infinity"}.get(value, "NaN")
        return math.isclose(float(number), value, rel_tol=PERCENTILE_TOLERANCE if PERCENTILE.search(name) else TOLERANCE, abs_tol=1e-12)
    # A decimal without places is a whole number.
    return number == str(value)


def missing_without_scripts(page):
    """The sections whose figures can't be read."""
    sections = page.evaluate(READ)
    return [f"{section['table']} has a chart without its figures" for section in sections for figure in section["figures"] if figure["sql"] and not figure["rows"] and not figure["is_result"]]
