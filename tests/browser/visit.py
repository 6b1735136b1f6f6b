"""One look at a page, as a person with one kind of screen has it, and all faults that are found."""

import time
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urldefrag, urlsplit

HERE = Path(__file__).resolve().parent
LOOK = (HERE / "look.js").read_text()
NARROW, WIDE = 390, 1440
HEIGHT = 900
# Chromium draws no longer pictures than 16,384 pixels, and people look at no longer ones.
SHOT_HEIGHT_MAX = 6000
# For what a page draws after it is loaded.
SETTLE_MS = 400
TABS_MAX = 300
AXE_FAILS = ("serious", "critical")
PAINT = """() => new Promise(done => {
    const painted = (list) => list.find(entry => entry.name === 'first-contentful-paint');
    const seen = painted(performance.getEntriesByType('paint'));
    if (seen) return done(seen.startTime);
    new PerformanceObserver(list => painted(list.getEntries()) && done(painted(list.getEntries()).startTime)).observe({type: 'paint', buffered: true});
    setTimeout(() => done(null), 5000);
})"""


@dataclass(frozen=True)
class Screen:
    scheme: str
    width: int

    def __str__(self):
        return f"{self.scheme}, {'narrow' if self.width == NARROW else 'wide'}"


SCREENS = [Screen(scheme, width) for scheme in ("light", "dark") for width in (NARROW, WIDE)]


@dataclass(frozen=True)
class Fault:
    """`kind` says which of the looks found it."""

    kind: str
    text: str

    def __str__(self):
        return f"{self.kind}: {self.text[:400]}"


@dataclass
class Visit:
    page: object
    screen: Screen
    origin: str
    faults: list = field(default_factory=list)
    moderate: list = field(default_factory=list)
    requests: list = field(default_factory=list)
    controls: int = 0
    first_picture_ms: float = 0
    loaded_ms: float = 0
    bytes: int = 0

    def fault(self, kind, texts):
        self.faults += [Fault(kind, text) for text in texts if Fault(kind, text) not in self.faults]

    def look(self, function):
        return self.page.evaluate(f"({LOOK}).{function}()")

    def figures(self):
        picture = f"first picture after {self.first_picture_ms:.0f} ms" if self.first_picture_ms else "no picture"
        return f"{self.controls} controls, {self.bytes / 1024:.0f} KiB, {picture}, loaded after {self.loaded_ms:.0f} ms"

    # ---- opening ----

    def listen(self):
        page = self.page
        page.on("console", lambda message: message.type in ("error", "warning") and self.fault("console", [message.text]))
        page.on("pageerror", lambda error: self.fault("exception", [str(error)]))
        page.on("dialog", lambda dialog: (self.fault("dialog", [dialog.message]), dialog.dismiss()))
        page.on("crash", lambda _: self.fault("crash", ["the page has crashed"]))
        page.on("popup", lambda popup: self.fault("request", [f"a window opened: {popup.url}"]))
        page.on("request", self.requested)
        page.on("websocket", lambda socket: self.is_own(socket.url) or self.fault("request", [socket.url]))

    def requested(self, request):
        self.requests.append(request)
        if not self.is_own(request.url):
            self.fault("request", [request.url])

    def is_own(self, url):
        """Whether a URL is of the page's own server, or is the file itself."""
        url = urldefrag(url).url
        parts = urlsplit(url)
        if parts.scheme in ("data", "blob"):
            return True
        if self.origin.startswith("file:"):
            return url == self.origin
        return f"{parts.scheme.replace('ws', 'http')}://{parts.netloc}" == self.origin

    def open(self, url):
        started = time.monotonic()
        answer = self.page.goto(url, wait_until="load")
        self.loaded_ms = (time.monotonic() - started) * 1000
        if answer and not answer.ok:
            self.fault("status", [f"{answer.status} {url}"])
        self.page.wait_for_timeout(SETTLE_MS)
        self.bytes = sum(map(weight, self.requests))

    # ---- looking ----

    def audit(self, axe):
        self.first_picture_ms = self.page.evaluate(PAINT)
        if not self.first_picture_ms:
            self.fault("picture", ["nothing was drawn"])
        for kind in ("injected", "overflow", "direction"):
            self.fault(kind, self.look(kind))
        self.fault("contrast", self.look("picture_contrast"))
        self.check_accessibility(axe)
        self.walk()

    def check_accessibility(self, axe, rules=None):
        # As an expression, a program needs no permission of the page's policy.
        if not self.page.evaluate("'axe' in window"):
            self.page.evaluate(axe)
        options = {"resultTypes": ["violations"]} | ({"runOnly": rules} if rules else {})
        found = self.page.evaluate("options => axe.run(document, options)", options)
        for violation in found["violations"]:
            nodes = violation["nodes"]
            first = " ".join(map(str, nodes[0]["target"]))
            text = f"{violation['id']} ({violation['impact']}, {len(nodes)} times): {violation['help']}: {first}"
            if violation["impact"] in AXE_FAILS:
                self.fault("contrast" if violation["id"] == "color-contrast" else "accessibility", [text])
            elif text not in self.moderate:
                self.moderate.append(text)

    def walk(self):
        """Presses Tab until focus leaves the page, or it has been long enough."""
        self.controls = self.look("begin_walk")
        for _ in range(TABS_MAX):
            self.page.keyboard.press("Tab")
            step = self.look("step")
            if step is None:
                self.fault("keyboard", self.look("unreached"))
                break
            self.fault("keyboard", step["faults"])
            if step["isTrap"]:
                break
        self.fault("keyboard", self.look("unseen"))

    def check_print(self, axe, path=None):
        """Looks at the page as it is printed. `path` is for the PDF."""
        before = self.look("contents")
        # On paper, Chromium takes the light scheme.
        self.page.emulate_media(media="print", color_scheme="light")
        after = self.look("contents")
        if after < before:
            self.fault("print", [f"{after} of {before} headings, tables and pictures"])
        self.check_accessibility(axe, ["color-contrast"])
        if path:
            self.page.pdf(path=path, format="A4", print_background=False)
        self.page.emulate_media(media="screen", color_scheme=self.screen.scheme)

    def shoot(self, path):
        height = min(self.page.evaluate("document.documentElement.scrollHeight"), SHOT_HEIGHT_MAX)
        # Charts may be drawn only when they come into view.
        self.page.set_viewport_size({"width": self.screen.width, "height": max(height, HEIGHT)})
        self.page.wait_for_timeout(SETTLE_MS)
        self.page.screenshot(path=path, animations="disabled")
        self.page.set_viewport_size({"width": self.screen.width, "height": HEIGHT})


def weight(request):
    """The bytes that came for a request, with the head of the answer."""
    if request.url.startswith("file:"):
        return Path(request.url.removeprefix("file://").partition("#")[0]).stat().st_size
    answer = request.response() if request.url.startswith("http") else None
    if not answer:
        return 0
    sizes = request.sizes()
    return sizes["responseHeadersSize"] + sizes["responseBodySize"]


def visit(chromium, url, screen, scripts=True, **options):
    """Opens a page. The caller closes `page.context`."""
    size = {"width": screen.width, "height": HEIGHT}
    context = chromium.context(color_scheme=screen.scheme, viewport=size, java_script_enabled=scripts, **options)
    parts = urlsplit(url)
    origin = urldefrag(url).url if parts.scheme == "file" else f"{parts.scheme}://{parts.netloc}"
    seen = Visit(context.new_page(), screen, origin)
    seen.listen()
    seen.open(url)
    return seen
