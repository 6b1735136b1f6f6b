"""The machine and the versions of a measurement."""

import datetime
import os
import platform
import subprocess
import tomllib

from programs import PEERS_VENV, REPOSITORY, THREADS, versions

PAGE = ["docs/performance.md", "docs/performance.svg"]  # written by the benchmark itself


def said_by(*command):
    """The first line of a command's output; nothing if the command does not exist."""
    try:
        said = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout.splitlines()
    except (OSError, subprocess.CalledProcessError):
        return ""
    return said[0] if said else ""


def from_proc(file, key):
    try:
        with open(file) as lines:
            return next((line.split(":", 1)[1].strip() for line in lines if line.startswith(key)), "")
    except OSError:
        return ""


def crate(name):
    """The version of a crate that logmill is built with."""
    lock = tomllib.loads((REPOSITORY / "Cargo.lock").read_text())
    return next((package["version"] for package in lock["package"] if package["name"] == name), "unknown")


def version(package, requirements):
    """The version of a Python package in a requirements file of the repository."""
    lines = (REPOSITORY / requirements).read_text().splitlines()
    return next((line.split("==")[1] for line in lines if line.startswith(f"{package}==")), "unknown")


def commit():
    changed = said_by(
        "git", "status", "--porcelain", "--untracked-files=no", "--", ".", *(f":!{page}" for page in PAGE)
    )
    return f"commit {said_by('git', 'rev-parse', '--short=12', 'HEAD')}" + (", with changes" if changed else "")


def logmill(built, built_here):
    version = said_by(built.logmill, "--version").removeprefix("logmill ")
    if not built_here:
        return f"{version}, built beforehand"
    flags = os.environ.get("RUSTFLAGS")
    return f"{version}, {commit()}, built by {said_by('rustc', '--version')}" + (
        f" with RUSTFLAGS={flags}" if flags else ""
    )


def facts(built, built_here):
    """Rows of a table: name and value."""
    memory_kb = from_proc("/proc/meminfo", "MemTotal").removesuffix(" kB")
    return {
        "measured on": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d"),
        "CPU": from_proc("/proc/cpuinfo", "model name") or platform.processor() or platform.machine(),
        "CPUs that programs see": f"{THREADS}, {platform.machine()}",
        "memory": f"{int(memory_kb) / 1e6:.0f} GB" if memory_kb else "unknown",
        "kernel": f"{platform.system()} {platform.release()}",
        "logmill": logmill(built, built_here),
        "decompression alone": f"flate2 {crate('flate2')} over zlib-rs {crate('zlib-rs')}",
        "peers": f"{', '.join(f'{name} {number}' for name, number in versions().items())}; {said_by(PEERS_VENV / 'bin/python', '--version')}",
    }
