"""axe-core, Deque's checker of accessibility, from npm. Only tests use it; its licence is the MPL 2.0."""

import hashlib
import subprocess
import tarfile
import tempfile
import time
from pathlib import Path

NAME = "axe-core"
VERSION = "4.14.1"
SHA256 = "e6b0ce02b84d892e2e33e403485e7f3d6c29e2be6df65daf44d89ba564139745"


def source(cache):
    """axe's program, which is fetched once."""
    path = cache / f"{NAME}-{VERSION}.js"
    if not path.exists():
        fetch(path)
    return path.read_text()


def fetch(path):
    started = time.monotonic()
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        command = ["npm", "pack", "--silent", f"{NAME}@{VERSION}"]
        try:
            done = subprocess.run(command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        except FileNotFoundError:
            raise SystemExit("there is no npm on the PATH: install it, on Debian by apt-get install npm") from None
        if done.returncode:
            raise SystemExit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        archive = Path(folder, done.stdout.strip())
        found = hashlib.sha256(archive.read_bytes()).hexdigest()
        if found != SHA256:
            raise SystemExit(f"{archive.name} is not the file that it should be: its SHA-256 is {found}")
        with tarfile.open(archive) as members:
            made = Path(folder, "axe.js")
            made.write_bytes(members.extractfile("package/axe.min.js").read())
        made.rename(path)
    print(f"fetched {NAME} {VERSION} in {time.monotonic() - started:.0f} s", flush=True)
