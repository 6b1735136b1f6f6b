"""Prepares a measurement: a build, the peers, logs, and S3."""

import json
import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from programs import BENCH, PEERS_VENV, REPOSITORY, TARGET, Built

TEXT_BYTES = 1.2e9
SMALL_FILE_BYTES = 1.2e5  # of text; about 20 KB of gzip


def say(what):
    print(what, file=sys.stderr, flush=True)


def build(folder):
    """The programs in this folder or, without a folder, a build of this repository."""
    if folder is None:
        say("building logmill")
        folder = TARGET / "release"
        _cargo("build --release --locked -p logmill --bin logmill", REPOSITORY, TARGET)
        _cargo("build --release --locked", BENCH / "floor", TARGET / "bench-floor")
        shutil.copy(TARGET / "bench-floor/release/gunzip", folder)
        _cargo("build --release --locked -p logmill --example stage", REPOSITORY, TARGET)
        shutil.copy(TARGET / "release/examples/stage", folder)
    built = Built(folder.resolve())
    for program in (built.logmill, built.gunzip, built.stage):
        if not program.exists():
            sys.exit(f"{program} not found")
    return built


def _cargo(arguments, workspace, target):
    environment = {**os.environ, "CARGO_TARGET_DIR": str(target)}
    subprocess.run(["cargo", *arguments.split()], cwd=workspace, env=environment, check=True)


def install_peers():
    """Creates the virtual environment, or recreates it if the requirements have changed."""
    wanted = (BENCH / "peers/requirements.txt").read_text()
    made_from = PEERS_VENV / "requirements.txt"
    if made_from.exists() and made_from.read_text() == wanted:
        return
    say(f"installing the peers in {PEERS_VENV}")
    shutil.rmtree(PEERS_VENV, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", PEERS_VENV], check=True)
    install = ["-m", "pip", "install", "--quiet", "-r", BENCH / "peers/requirements.txt"]
    subprocess.run([PEERS_VENV / "bin/python", *install], check=True)
    made_from.write_text(wanted)


def generate(folder, *arguments):
    """Generates logs in the folder if it has none. Returns the folder."""
    if any(folder.glob("*.gz")):
        return folder
    say(f"generating logs in {folder}")
    # Under a temporary name until it is complete, so that a partial data set is never used.
    part = folder.with_name(folder.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    subprocess.run([sys.executable, BENCH / "generate.py", part, *map(str, arguments)], stdout=sys.stderr, check=True)
    if folder.exists():
        folder.rmdir()
    part.rename(folder)
    return folder


@dataclass
class Logs:
    """The sets of log files, each generated on first use. `given` replaces the first."""

    text_bytes: float = TEXT_BYTES
    given: Path | None = None

    def hour(self):
        return self.given or self._made("")

    def whole_hour(self):
        return self._made("-whole-hour", "--whole-hour")

    def small(self):
        """Small log files, as many as the requested amount of text needs."""
        files = max(10, round(self.text_bytes / SMALL_FILE_BYTES))
        return self._made(f"-small-{files}", "--five-minutes", "--files", files)

    def one(self):
        return self._made("-one", "--five-minutes", "--files", 1, text_bytes=SMALL_FILE_BYTES)

    def _made(self, name, *arguments, text_bytes=None):
        if self.text_bytes != TEXT_BYTES:
            name = f"-{self.text_bytes:.0f}{name}"
        return generate(TARGET / f"bench-logs{name}", "--bytes", text_bytes or self.text_bytes, *arguments)


@contextmanager
def s3(logs):
    """Starts S3 on this machine, with these logs in the bucket `logs`. Yields the environment variables for clients."""
    say("starting S3")
    command = [sys.executable, BENCH / "emulator.py", logs]
    environment = {**os.environ, "CARGO_TARGET_DIR": str(TARGET), "PYTHONDONTWRITEBYTECODE": "1"}
    emulator = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, text=True)
    try:
        variables = emulator.stdout.readline()
        if not variables:
            sys.exit("S3 did not start")
        yield json.loads(variables)
    finally:
        emulator.stdin.close()
        emulator.wait()
