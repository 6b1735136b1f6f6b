"""A real Chromium without a window, driven by Playwright. It is Debian's or the system's own: Playwright's package brings only the driver.

Nothing that a page does leaves the machine: names other than 127.0.0.1 don't resolve, no proxy is used, and Chromium keeps a log of its
network, in which `connections` finds the address of each connection, also of those that no page asked for.
"""

import ipaddress
import json
import os
import shutil
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import sync_playwright

NAMES = ["chromium", "chromium-browser", "google-chrome"]
# The fonts have Latin, Greek, Hebrew and Arabic letters, Chinese and Japanese ones, and emoji. Without them, screenshots show boxes.
PACKAGES = ["chromium", "fonts-dejavu-core", "fonts-wqy-microhei", "fonts-noto-color-emoji"]
SWITCHES = [
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
    "--no-proxy-server",
    # Screenshots are the same on each machine.
    "--font-render-hinting=none",
    "--hide-scrollbars=false",
]
CONNECTS = {"TCP_CONNECT_ATTEMPT", "UDP_CONNECT", "UDP_BYTES_SENT"}
LONGEST_WAIT_MS = 60_000


def program():
    """The path of Chromium. On Debian, root gets it installed."""
    if not any(map(shutil.which, NAMES)) and os.geteuid() == 0 and shutil.which("apt-get"):
        install()
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if not found:
        raise SystemExit(f"there is no Chromium on the PATH: install it, with fonts, by apt-get install {' '.join(PACKAGES)}")
    return found


def install():
    started = time.monotonic()
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    command = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *PACKAGES]
    # A machine may know no packages, or only older ones than there are.
    for attempt in [["apt-get", "update", "-qq"], command]:
        done = subprocess.run(attempt, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{' '.join(attempt)} ended with {done.returncode}:\n{done.stdout[-2000:]}{done.stderr[-4000:]}")
    print(f"installed {' '.join(PACKAGES)} in {time.monotonic() - started:.0f} s", flush=True)


class Chromium:
    def __init__(self, browser, log):
        self.browser = browser
        self.log = log

    def context(self, **options):
        context = self.browser.new_context(locale="en-GB", timezone_id="UTC", **options)
        context.set_default_timeout(LONGEST_WAIT_MS)
        return context

    def connections(self):
        """Closes the browser, and returns the addresses that it connected or sent to."""
        self.browser.close()
        return addresses(json.loads(self.log.read_text()))


@contextmanager
def chromium():
    with tempfile.TemporaryDirectory(prefix="logmill-chromium-") as folder, sync_playwright() as playwright:
        log = Path(folder, "network.json")
        browser = playwright.chromium.launch(
            executable_path=program(),
            # Chromium's sandbox refuses to run as root. Pages here come from this machine alone.
            chromium_sandbox=os.geteuid() != 0,
            args=[*SWITCHES, f"--log-net-log={log}"],
            timeout=LONGEST_WAIT_MS,
        )
        try:
            yield Chromium(browser, log)
        finally:
            browser.close()


def addresses(log):
    """The addresses to which a socket of Chromium was connected, in its network log."""
    numbers = log["constants"]["logEventTypes"]
    connects = {numbers[name]: name for name in CONNECTS if name in numbers}
    found, by_source = set(), {}
    for event in log["events"]:
        kind, source, params = connects.get(event["type"]), event["source"]["id"], event.get("params", {})
        if kind == "TCP_CONNECT_ATTEMPT" and "address" in params:
            found.add(params["address"])
        elif kind == "UDP_CONNECT" and "address" in params:
            # To connect a socket of UDP sends nothing. Chromium does that to learn whether the machine has IPv6.
            by_source[source] = params["address"]
        elif kind == "UDP_BYTES_SENT":
            found.add(params.get("address") or by_source.get(source, "an unknown address, by UDP"))
    return found


def is_local(address):
    """Whether an address with a port is of this machine."""
    host = address.rpartition(":")[0].strip("[]")
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
