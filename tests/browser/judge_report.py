"""The pages of `logmill report` in Chromium: a file, and the live page of `--serve`. Their figures are those of `logmill query`.

    python3 tests/browser/judge_report.py LOGMILL CACHE
"""

import re
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

import figures
import hostile
import tables
from checks import Checks
from chromium import chromium, is_local
from gallery import DESK, Gallery
from logmill import Logmill
from visit import visit

GROUPS = 1_000_000
# The library that draws is 50 KB of each page.
BYTES_MAX = 3_000_000
LONGEST_START_SECONDS = 60


def make(binary, place, path, *arguments):
    """Writes a report, and says how long that takes."""
    started = time.monotonic()
    done = subprocess.run(
        list(map(str, [binary, "report", "--tables", place, "--output", path, *arguments])), capture_output=True, text=True, check=False
    )
    print(f"        {done.stdout.strip()} in {time.monotonic() - started:.1f} s")
    if done.returncode:
        raise SystemExit(f"logmill report ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return path.as_uri()


@contextmanager
def serve(binary, place):
    """The live report. Returns its URL."""
    command = [binary, "report", "--tables", place, "--serve", "127.0.0.1:0"]
    process = subprocess.Popen(list(map(str, command)), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    try:
        line = process.stdout.readline()
        found = re.search(r"http://127\.0\.0\.1:\d+/", line)
        if not found:
            raise SystemExit(f"logmill report --serve says {line!r}")
        yield found[0]
    finally:
        process.terminate()
        process.wait()


def judge_file(gallery, binary, data, place, folder, requests=None):
    """The report of a folder of tables as a file, and its figures. If it is given, so many requests are in each table of `tables.ROLLUPS`."""
    url = make(binary, place, folder / f"{data.replace(' ', '-')}.html")
    gallery.look(data, url, BYTES_MAX)
    gallery.look_without_scripts(data, url, figures.missing_without_scripts)
    seen = visit(gallery.browser, url, DESK)
    figures.compare(gallery.checks, f"report, {data}", seen.page, Logmill(binary, place))
    if requests is not None:
        totals = {section["table"]: dict(section["totals"]).get("requests") for section in seen.page.evaluate(figures.READ)}
        wrong = [f"{table}: {totals.get(table)}" for table in tables.ROLLUPS if totals.get(table) != f"{requests:,}"]
        gallery.checks.check(f"report, {data}: each table has all {requests} requests", wrong)
    shown = seen.page.evaluate("document.body.textContent")
    seen.page.context.close()
    return shown


def judge_live(gallery, binary, place):
    """The live page: its form, a filter by a key, and the comparison with the period before."""
    with serve(binary, place) as url:
        gallery.look("live", url, BYTES_MAX)
        seen = visit(gallery.browser, url, DESK)
        page = seen.page
        figures.compare(gallery.checks, "report, live", page, Logmill(binary, place))
        page.get_by_role("link", name="Last 24 hours").click()
        page.get_by_label("Compare with the period before").check()
        page.get_by_role("button", name="Show").click()
        gallery.checks.check("report, live: compared with the period before", [] if "before:" in page.inner_text("main") else [page.url])
        page.locator("table.bars a").first.click()
        key = page.locator("ul.filters li")
        gallery.checks.check("report, live: one filter by a key", [] if key.count() == 1 else [page.url])
        figures.compare(gallery.checks, "report, live, filtered", page, Logmill(binary, place))
        seen.shoot(gallery.path("live filtered", DESK, "png"))
        key.get_by_role("link").click()
        gallery.checks.check("report, live: the filter is removed", [page.url] if key.count() else [])
        gallery.checks.check("report, live: no faults on the way", seen.faults)
        page.context.close()


def judge_live_hostile(gallery, binary, place):
    """Each key that a visitor typed can be clicked."""
    with serve(binary, place) as url:
        seen = visit(gallery.browser, url, DESK)
        page = seen.page
        links = page.locator("table.bars a").evaluate_all("links => links.map(link => link.href)")
        for link in links:
            seen.open(link)
            seen.fault("injected", seen.look("injected"))
        gallery.checks.check(f"report, hostile, live: {len(links)} keys are filters", seen.faults if links else ["none"])
        page.context.close()


def main():
    binary, cache = Path(sys.argv[1]).resolve(), Path(sys.argv[2])
    checks = Checks()
    with tempfile.TemporaryDirectory(prefix="logmill-browser-") as folder, chromium() as browser:
        folder = Path(folder)
        gallery = Gallery(checks, browser, cache, "report")
        judge_file(gallery, binary, "nothing", tables.count(binary, tables.nothing(folder / "nothing")), folder, 0)
        judge_file(gallery, binary, "much", tables.count(binary, tables.much(folder / "much")), folder, tables.FILES * tables.LINES)
        judge_live(gallery, binary, folder / "much" / "tables")
        groups = tables.count(binary, tables.many_groups(folder / "groups", GROUPS))
        judge_file(gallery, binary, "a million groups", groups, folder)
        visitors = tables.count(binary, tables.of_visitors(folder / "hostile"), fails=True)
        shown = judge_file(gallery, binary, "hostile", visitors, folder)
        # A page lists only the values with the most requests.
        markup = [value for value in hostile.VALUES.values() if "<" in value and value in shown]
        checks.check("report, hostile: markup is shown as it is", [] if len(markup) >= 3 else markup or ["none"])
        judge_live_hostile(gallery, binary, visitors)
        gallery.close()
        checks.check("report: no connection leaves the machine", [address for address in browser.connections() if not is_local(address)])
    return checks.close()


if __name__ == "__main__":
    sys.exit(main())
