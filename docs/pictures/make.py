#!/usr/bin/env python3
"""Makes the pictures of the docs, and checks that they show what the docs say.

    python3 docs/pictures/make.py LOGMILL [FOLDER]

The pictures are of a report over made logs, and of the status page of a fleet: when all is well, and on a bad night. They are written to
FOLDER, which is the one of this program unless you name another. That takes about ten minutes, most of which are waiting: a table whose
commits fail is wrong after five. It needs the packages of tests/requirements.txt, and Chromium.
"""

import math
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent.parent
sys.path.insert(0, str(REPOSITORY / "tests"))
sys.path.insert(0, str(REPOSITORY / "tests/browser"))

import fleet
from checks import Checks
from chromium import chromium

# Of a palette. Colours that are nearer to each other become one.
COLOURS, DISTANCE_MIN = 256, 10
BYTES_MAX = 150_000
SETTLE_MS = 500
DESK, PHONE = (1280, 900), (390, 844)
PLACE = "s3://my-tables/logmill"
# The table that has trouble.
TABLE = "top_talkers"


class Pictures:
    def __init__(self, checks, browser, folder):
        self.checks = checks
        self.browser = browser
        self.folder = folder

    def take(self, name, url, place, screen=DESK, scheme="light", until=None, height=None):
        """A picture of a page down to the end of an element, or of this height. It names no folder of this machine."""
        width, window = screen
        context = self.browser.context(color_scheme=scheme, viewport={"width": width, "height": window})
        page = context.new_page()
        page.route("**/*", lambda route: without_folders(route, place))
        page.goto(url, wait_until="load")
        if until:
            box = page.locator(until).bounding_box()
            height = round(box["y"] + box["height"]) + 16
        page.set_viewport_size({"width": width, "height": height or window})
        page.wait_for_timeout(SETTLE_MS)
        text = page.inner_text("body")
        path = self.folder / f"{name}.png"
        page.screenshot(path=path, animations="disabled")
        context.close()
        shrink(path)
        size = path.stat().st_size
        self.checks.check(f"{path.name} has {size} bytes", [] if size <= BYTES_MAX else [f"{BYTES_MAX} are allowed"])
        self.checks.check(f"{path.name} names no folder of this machine", [place] if str(place) in text else [])
        return text


def without_folders(route, place):
    if route.request.url.startswith("data:"):
        return route.continue_()
    if route.request.url.startswith("file:"):
        text = Path(route.request.url.removeprefix("file://")).read_text()
        return route.fulfill(body=renamed(text, place), content_type="text/html")
    answer = route.fetch()
    return route.fulfill(response=answer, body=renamed(answer.text(), place))


def renamed(text, place):
    """The tables in S3, and the rollups beside them."""
    text = text.replace(f"file://{place}", PLACE).replace(str(place), PLACE)
    return text.replace(str(REPOSITORY / "rollups"), "s3://my-config/rollups").replace(f"s3://{fleet.raw.BUCKET}/", "s3://my-logs/")


def shrink(path):
    """Keeps the most frequent colours as they are, and gives each pixel of another one the nearest of these."""
    picture = Image.open(path).convert("RGB")
    kept = []
    for _, colour in sorted(picture.getcolors(1 << 24), reverse=True):
        if len(kept) < COLOURS and all(math.dist(colour, other) >= DISTANCE_MIN for other in kept):
            kept.append(colour)
    palette = Image.new("P", (1, 1))
    palette.putpalette([part for colour in kept for part in colour])
    picture.quantize(palette=palette, dither=Image.Dither.NONE).save(path, optimize=True)


def take_report(pictures, binary, folder):
    tables, page = folder / "tables", folder / "report.html"
    for command in [
        [sys.executable, HERE / "shop.py", folder / "logs"],
        [binary, "run", folder / "logs", "--rollups", REPOSITORY / "rollups", "--tables", tables],
        [binary, "report", "--tables", tables, "--table", "target_health", "--output", page],
    ]:
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{command} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    text = pictures.take("report", page.as_uri(), tables, height=1240)
    pictures.checks.check("the report is of three days", [] if "(3 days)" in text else [text[:300]])


def take_status(pictures, binary, folder):
    with fleet.fleet(binary, folder) as made:
        made.send_recent()
        # Each worker has written a report since then.
        said = lambda status: sum(worker["report"]["log_files"].get("staged", 0) for worker in status["workers"])
        made.wait("the workers' reports", lambda status: said(status) >= made.files and status["verdict"]["state"] is None)
        place, url = made.tables, made.workers[0].url
        text = pictures.take("status-well", url, place, until="section:has(#tables)")
        pictures.checks.check("all is well", [] if "All is well" in text else [text[:300]])

        made.break_down(TABLE)
        for node in range(5, 8):
            made.send(fleet.now(), node)
        made.wait("the troubles of a bad night", is_bad)
        text = pictures.take("status-trouble", url, place, until="section:has(#failures)")
        expected = ["dead-letter queue", f"{TABLE} can't be committed", "3 log files are staged", "has said nothing for", "unreadable", "1 silent"]
        pictures.checks.check("the bad night has all its troubles", [words for words in expected if words not in text])
        pictures.take("status-phone", url, place, screen=PHONE, scheme="dark", height=PHONE[1])


def is_bad(status):
    wrong = " ".join(problem["what"] for problem in status["verdict"]["problems"] if problem["severity"] == "wrong")
    return all(words in wrong for words in ("dead-letter", f"{TABLE} can't be committed"))


def main():
    binary, folder = Path(sys.argv[1]).resolve(), Path(sys.argv[2] if len(sys.argv) > 2 else HERE)
    folder.mkdir(parents=True, exist_ok=True)
    checks = Checks()
    with chromium() as browser:
        pictures = Pictures(checks, browser, folder)
        for name, take in {"report": take_report, "status": take_status}.items():
            with tempfile.TemporaryDirectory(prefix=f"logmill-{name}-") as made:
                take(pictures, binary, Path(made))
    return checks.close()


if __name__ == "__main__":
    sys.exit(main())
