"""The looks themselves are tested: small pages that each have one fault, which must be found, and no other.

    python3 tests/browser/judge_faults.py LOGMILL CACHE
"""

import sys
import tempfile
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

import axe
from checks import Checks
from chromium import addresses, chromium, is_local
from visit import NARROW, WIDE, Screen, visit

LIGHT_NARROW, DARK_WIDE = Screen("light", NARROW), Screen("dark", WIDE)
GOOD = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>A page</title><link rel="icon" href="data:,">
<meta name="viewport" content="width=device-width">
<style>html {background: white; color: black} @media (prefers-color-scheme: dark) {html {background: #111; color: #eee} a {color: #9cf}} STYLE td {overflow-wrap: anywhere}
:focus-visible {outline: 3px solid orangered}</style>HEAD</head>
<body><main><h1>Log files</h1><p>All is well. <a href="#more">More</a></p>
<svg width="200" height="40" role="img" aria-label="12 log files"><text y="20" class="mark" fill="currentColor">12 log files</text></svg>
<label>From <input type="date"></label> <button>Show</button>
<table><caption>Tables</caption><tr><th scope="col">table</th></tr><tr><td>events</td></tr></table>
BODY</main></body></html>"""
POLICY = "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\">"
ALLOWS_SCRIPTS = POLICY.replace("default-src 'none'", "default-src 'none'; script-src 'unsafe-inline'")
BIG = 300_000


def page(body="", head="", style=""):
    return GOOD.replace("BODY", body).replace("HEAD", head).replace("STYLE", style)


# Each page, and the kinds of faults that it has.
PAGES = {
    "nothing": (page(head=ALLOWS_SCRIPTS), set()),
    "an error in the console": (page("<script>console.error('no such series')</script>"), {"console"}),
    "a warning in the console": (page("<script>console.warn('deprecated')</script>"), {"console"}),
    "an exception": (page("<script>setTimeout(() => { throw new Error('no series') })</script>"), {"exception"}),
    "a promise that fails": (page("<script>Promise.reject(new Error('no series'))</script>"), {"exception"}),
    "a script that the policy forbids": (page("<script>document.title = 'x'</script>", POLICY), {"console"}),
    "a handler that the policy forbids": (page('<img alt="" src="data:," onerror="x()">', POLICY), {"console"}),
    "a dialog": (page("<script>alert('hello')</script>"), {"dialog"}),
    "a picture from elsewhere": (page('<img alt="" src="http://example.com/x.png">'), {"request", "console"}),
    "a picture from another address": (page('<img alt="" src="http://192.0.2.1/x.png">'), {"request", "console"}),
    "a picture from elsewhere that the policy forbids": (page('<img alt="" src="http://example.com/x.png">', POLICY), {"request", "console"}),
    "a font from elsewhere": (page(style="@font-face {font-family: x; src: url(http://example.com/x)} h1 {font-family: x}"), {"request", "console"}),
    "a script from elsewhere": (page('<script src="http://example.com/x.js"></script>'), {"request", "console"}),
    "a beacon": (page("<script>navigator.sendBeacon('http://example.com/')</script>"), {"request", "console"}),
    "a socket to elsewhere": (page("<script>new WebSocket('ws://example.com/').onerror = () => 0</script>"), {"request", "console"}),
    "a file that its server lacks": (page('<script src="/missing.js"></script>'), {"console"}),
    "an injected script": (page("<script>document.documentElement.setAttribute('data-injected', '')</script>"), {"injected"}),
    "injected markup": (page("<table><tr><td><b data-injected>a visitor's</b></td></tr></table>"), {"injected"}),
    "an injected attribute": (page('<p title="" data-injected="">a visitor\'s</p>'), {"injected"}),
    "a link to a visitor's script": (page('<a href=" JavaScript:injected()">a visitor\'s</a>'), {"injected"}),
    "a link to a visitor's host": (page('<a href="https://hostile.example/">a visitor\'s</a>'), {"injected"}),
    "a style of a visitor": (page('<p style="background: url(https://hostile.example/x)">a visitor\'s</p>', POLICY), {"injected", "console", "request"}),
    "grey on white": (page('<p style="color: #aaa; background: white">pale</p>'), {"contrast"}),
    "grey on white in a picture": (page(style=".mark {fill: #999} svg {background: white}"), {"contrast"}),
    "a field without a label": (page("<input>"), {"accessibility"}),
    "a picture without a text": (page('<img src="data:image/gif;base64,R0lGODlhAQABAAAAACw=">'), {"accessibility"}),
    "a button without a text": (page("<button></button>"), {"accessibility"}),
    "no title": (page().replace("<title>A page</title>", ""), {"accessibility"}),
    "no language": (page().replace(' lang="en"', ""), {"accessibility"}),
    "a table that is too wide": (page("<table><tr>" + "<td style='min-width: 100px'>1</td>" * 20 + "</table>"), {"overflow"}),
    "a long key that widens the page": (page(f"<p>{'x' * 8192}</p>"), {"overflow"}),
    "an override of direction": (page("<p>Key <b>\u202eabc</b>, 12 requests</p>"), {"direction"}),
    "a button that no key reaches": (page('<button tabindex="-1">Hide</button>'), {"keyboard"}),
    "a text that only a mouse can press": (page('<span onclick="x()">Hide</span>'), {"keyboard"}),
    "focus that is not visible": (page(style="button:focus-visible {outline: none !important}"), {"keyboard"}),
    "a field that Tab does not leave": (page('<input aria-label="x" onkeydown="event.preventDefault()">'), {"keyboard"}),
    "a table that is not printed": (page(style="@media print {table {display: none}}"), {"print"}),
    "a page that is drawn of nothing": ("<!doctype html><html lang=en><title>x</title><link rel=icon href='data:,'><body></body></html>", {"picture"}),
}
# What is a fault only in one scheme, or on one width.
OF_SCREENS = {
    "pale in the dark alone": (page("<p>pale</p>", style="@media (prefers-color-scheme: dark) {p {color: #444; background: #222}}"), "contrast", "dark"),
    "a picture with black texts in the dark": (page(style=".mark {fill: black}"), "contrast", "dark"),
    "too wide on a phone alone": (page('<div style="width: 900px">wide</div>'), "overflow", "narrow"),
}
HARMLESS = {
    "a wide table that scrolls by itself": page(
        '<div style="overflow-x: auto" tabindex="0" role="region" aria-label="t"><table><tr>' + "<td style='min-width: 100px'>1</td>" * 20 + "</table></div>"
    ),
    "an isolated override of direction": page("<p>Key <bdi>\u202eabc</bdi>, 12 requests</p><table><tr><td>\u202eabc</td></tr></table>"),
    "a visitor's text that is shown as one": page("<p>&lt;script&gt;injected()&lt;/script&gt; https://hostile.example/</p>"),
    "a link to a page about a visitor's text": page('<a href="?where=https%3A%2F%2Fhostile.example%2F">only this</a> <a href="?where=https://hostile.example/">this</a>'),
    "a script of its own": page("<script>document.querySelector('p').append(' Indeed.')</script>"),
    "a form whose radio buttons are one stop": page('<label><input type="radio" name="a" checked>1</label><label><input type="radio" name="a">2</label>'),
}
HEAVY = page(f"<p hidden>{'x' * BIG}</p>")
LATE = page().replace("<main>", "<main hidden>").replace(
    "</body>", "<script>setTimeout(() => document.querySelector('main').hidden = false, 1500)</script></body>"
)


@contextmanager
def serve(texts):
    """A server with these pages, by number. Returns its URL."""

    class Server(BaseHTTPRequestHandler):
        def do_GET(self):
            path = self.path[1:]
            known = path.isdigit() and int(path) < len(texts)
            body = texts[int(path)].encode() if known else b"there is no such page"
            self.send_response(200 if known else 404)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Server) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def found(browser, program, url, screen):
    """The kinds of faults that are found, and the faults."""
    seen = visit(browser, url, screen)
    seen.audit(program)
    seen.check_print(program)
    seen.page.context.close()
    return {fault.kind for fault in seen.faults}, seen


def judge(checks, browser, program):
    texts = [*(text for text, _ in PAGES.values()), *(text for text, *_ in OF_SCREENS.values()), *HARMLESS.values(), HEAVY, LATE]
    with serve(texts) as root:
        for name, (text, kinds) in PAGES.items():
            got, seen = found(browser, program, f"{root}/{texts.index(text)}", LIGHT_NARROW)
            checks.check(f"found: {name}", [] if got == kinds else [f"{got}, and not {kinds}", *seen.faults])
        for name, (text, kind, where) in OF_SCREENS.items():
            for screen in (LIGHT_NARROW, DARK_WIDE):
                got, seen = found(browser, program, f"{root}/{texts.index(text)}", screen)
                kinds = {kind} if where in str(screen) else set()
                checks.check(f"{'found' if kinds else 'no fault'}: {name}, {screen}", [] if got == kinds else [f"{got}, and not {kinds}", *seen.faults])
        for name, text in HARMLESS.items():
            for screen in (LIGHT_NARROW, DARK_WIDE):
                got, seen = found(browser, program, f"{root}/{texts.index(text)}", screen)
                checks.check(f"no fault: {name}, {screen}", seen.faults)
        measure(checks, browser, program, root, texts)
    with tempfile.TemporaryDirectory() as folder:
        good, bad = Path(folder, "good.html"), Path(folder, "bad.html")
        good.write_text(page())
        bad.write_text(page('<img alt="" src="good.html">'))
        checks.equal("no fault: a file by itself", found(browser, program, good.as_uri(), LIGHT_NARROW)[0], set())
        checks.equal("found: a file that opens another", found(browser, program, bad.as_uri(), LIGHT_NARROW)[0], {"request"})


def measure(checks, browser, program, root, texts):
    _, seen = found(browser, program, f"{root}/{texts.index(HEAVY)}", LIGHT_NARROW)
    checks.check("weight is measured", [] if BIG < seen.bytes < BIG + 3000 else [seen.bytes])
    _, seen = found(browser, program, f"{root}/{texts.index(LATE)}", LIGHT_NARROW)
    checks.check("the first picture is measured", [] if 1500 < seen.first_picture_ms < 4500 else [seen.first_picture_ms])
    seen = visit(browser, f"{root}/{len(texts)}", LIGHT_NARROW)
    checks.check("found: a page that is not there", [] if "status" in {fault.kind for fault in seen.faults} else seen.faults)
    seen = visit(browser, f"{root}/{texts.index(LATE)}", LIGHT_NARROW, scripts=False)
    checks.equal("scripts can be turned off", seen.page.evaluate("document.querySelector('main').hidden"), True)


def main():
    _, cache = sys.argv[1:]
    checks = Checks()
    with chromium() as browser:
        judge(checks, browser, axe.source(Path(cache)))
        connections = browser.connections()
        checks.check("no connection leaves the machine", [address for address in connections if not is_local(address)])
        checks.check("connections are logged", [] if connections else ["none"])
    return checks.close()


if __name__ == "__main__":
    sys.exit(main())
