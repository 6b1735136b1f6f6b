"""Looks at a page on each kind of screen, keeps the pictures, and counts what was found."""

import re
import time
from pathlib import Path

import axe
from visit import SCREENS, WIDE, Screen, visit

DESK = Screen("light", WIDE)


class Gallery:
    def __init__(self, checks, browser, cache, name):
        self.checks = checks
        self.browser = browser
        self.axe = axe.source(cache)
        self.folder = Path(cache, "screenshots")
        self.folder.mkdir(parents=True, exist_ok=True)
        for old in self.folder.glob(f"{name}-*"):
            old.unlink()
        self.name = name
        self.moderate = {}

    def path(self, data, screen, ending):
        return self.folder / f"{self.name}-{re.sub(r'[^a-z0-9]+', '-', data)}-{screen.scheme}-{screen.width}.{ending}"

    def look(self, data, url, bytes_max, screens=SCREENS, **options):
        """`data` says what the page is about. Each screen is one check."""
        for screen in screens:
            started = time.monotonic()
            seen = visit(self.browser, url, screen, **options)
            seen.audit(self.axe)
            seen.shoot(self.path(data, screen, "png"))
            seen.check_print(self.axe, self.path(data, screen, "pdf") if screen == DESK else None)
            if seen.bytes > bytes_max:
                seen.fault("weight", [f"{seen.bytes} bytes, and {bytes_max} are allowed"])
            seen.page.context.close()
            for text in seen.moderate:
                self.moderate.setdefault(text, f"{data}, {screen}")
            self.checks.check(f"{self.name}, {data}, {screen}: {seen.figures()}, looked at for {time.monotonic() - started:.0f} s", seen.faults)

    def look_without_scripts(self, data, url, is_complete, **options):
        """Without scripts, the page has no faults, and shows what `is_complete` asks for. It returns what is missing."""
        seen = visit(self.browser, url, DESK, scripts=False, **options)
        seen.fault("injected", seen.look("injected"))
        seen.fault("overflow", seen.look("overflow"))
        seen.page.screenshot(path=self.path(f"{data} without scripts", DESK, "png"))
        missing = is_complete(seen.page)
        seen.page.context.close()
        self.checks.check(f"{self.name}, {data}, without scripts", [*seen.faults, *missing])

    def close(self):
        """Prints what is no failure, and where the pictures are."""
        for text, place in self.moderate.items():
            print(f"moderate, {place}: {text}")
        print(f"pictures: {self.folder}")
