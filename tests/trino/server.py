"""Real Trino servers from Maven Central on 127.0.0.1: fetched once into a cache, started for a test, and stopped with it.

There are two. Trino 435 is the version that Athena's engine v3 is close to. It reads raw logs through the Hive connector from S3, because
its connector for local files is not published separately. Trino 476 is published as a whole, and reads tables through the
Delta Lake connector from folders and S3; it needs Java 24. If a Trino doesn't start, that is an error.
"""

import base64
import hashlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
import urllib.error
import urllib.request
import zipfile
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timezone
from decimal import Decimal
from pathlib import Path

HERE = Path(__file__).resolve().parent
HEAP = "2g"
# Of a program that runs for minutes, the second compiler and the parallel collector take more time than they save.
# Athena runs in UTC; Trino takes its time zone from the machine.
JVM = [f"-Xmx{HEAP}", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Duser.timezone=UTC"]
LONGEST_START_SECONDS = 180
LONGEST_QUERY_SECONDS = 120

COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy"
COPY_DEPENDENCIES = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies"
HIVE_435 = ("io.trino", "trino-hive", "435", "zip", "c3a64f7536e573df951807f0d142417806cab48a50033653abdfc7e0410ef09e")
SERVER_476 = ("io.trino", "trino-server", "476", "tar.gz", "cfd5accde17e8ebd251eeeb78aed1f490e77bb3a164d95a0f454bf8a7c1cbd3f")
PLUGINS_476 = ("lib/", "plugin/hive/", "plugin/delta-lake/")


# ---- fetched once ----------------------------------------------------------------------------------------------------


def fetched(name, cache, fetch):
    """The folder that `fetch` has filled. It is kept only if it is complete."""
    folder = cache / name
    if not folder.exists():
        started = time.monotonic()
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as scratch:
            made = Path(scratch, "made")
            made.mkdir()
            fetch(made, Path(scratch))
            made.rename(folder)
        print(f"fetched {name} in {time.monotonic() - started:.0f} s", flush=True)
    return folder


def fetch_435(folder, scratch):
    """The engine with its dependencies, and the Hive connector."""
    maven(scratch, COPY_DEPENDENCIES, "-f", HERE / "pom.xml", f"-DoutputDirectory={folder / 'lib'}", "-DincludeScope=runtime")
    with zipfile.ZipFile(artifact(scratch, *HIVE_435)) as archive:
        archive.extractall(scratch / "hive")
    (folder / "plugin").mkdir()
    (scratch / "hive" / "trino-hive-435").rename(folder / "plugin" / "hive")
    classes = str(folder / "lib" / "*")
    run([java(17).with_name("javac"), "--release", "17", "-cp", classes, "-d", folder / "lib", HERE / "Launch.java"])


def fetch_476(folder, scratch):
    """Extracts the engine and two connectors of the whole server. The archive has shared files only once, with links."""
    archive = artifact(scratch, *SERVER_476)
    with tarfile.open(archive) as members:
        members = [(member.name, member.linkname if member.islnk() else member.name) for member in members if not member.isdir()]
    wanted = {}
    for name, content in members:
        inner = name.partition("/")[2]
        if inner.startswith(PLUGINS_476):
            wanted.setdefault(content, []).append(folder / inner)
    with tarfile.open(archive, "r|gz") as members:
        for member in members:
            places = wanted.get(member.name, []) if member.isreg() else []
            for place in places:
                place.parent.mkdir(parents=True, exist_ok=True)
            if places:
                with open(places[0], "wb") as file:
                    shutil.copyfileobj(members.extractfile(member), file)
            for place in places[1:]:
                os.link(places[0], place)


def artifact(scratch, group, name, version, packaging, sha256):
    maven(scratch, COPY, f"-Dartifact={group}:{name}:{version}:{packaging}", f"-DoutputDirectory={scratch}")
    path = scratch / f"{name}-{version}.{packaging}"
    with open(path, "rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != sha256:
        raise SystemExit(f"{path.name} is not the file that it should be: its SHA-256 is {found}")
    return path


def maven(scratch, *arguments):
    """Uses a temporary Maven repository, because its content is large and is kept unpacked."""
    run(["mvn", "--batch-mode", "--quiet", "--strict-checksums", f"-Dmaven.repo.local={scratch / 'repository'}", *arguments], cwd=scratch)


def run(command, **options):
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False, **options)
    if done.returncode:
        raise SystemExit(f"{command[0]} ended with {done.returncode}:\n{done.stdout[-4000:]}{done.stderr[-4000:]}")
    return done.stdout


def java(least):
    """The oldest Java of at least this version, because each Trino was tested with the Java of its time."""
    homes = [os.environ.get("JAVA_HOME", "")] + sorted(map(str, Path("/usr/lib/jvm").glob("*")))
    if found := shutil.which("java"):
        homes.append(str(Path(found).resolve().parent.parent))
    versions = {}
    for home in filter(None, homes):
        release = Path(home, "release")
        version = re.search(r'^JAVA_VERSION="(\d+)', release.read_text(), re.MULTILINE) if release.exists() else None
        if version and int(version[1]) >= least and Path(home, "bin", "java").exists():
            versions.setdefault(int(version[1]), Path(home, "bin", "java"))
    if not versions:
        raise SystemExit(f"Java {least} or newer not found: set JAVA_HOME, or install it under /usr/lib/jvm")
    return versions[min(versions)]


# ---- started for a test ----------------------------------------------------------------------------------------------


@contextmanager
def trino_435(cache, catalogs):
    home = fetched("trino-435", cache, fetch_435)
    with server(home, java(17), "Launch", [], catalogs) as trino:
        yield trino


@contextmanager
def trino_476(cache, catalogs):
    home = fetched("trino-476", cache, fetch_476)
    with server(home, java(24), "io.trino.server.TrinoServer", ["--add-modules=jdk.incubator.vector"], catalogs) as trino:
        yield trino


@contextmanager
def server(home, java, main, options, catalogs):
    """`catalogs` has the properties of each catalog, by name."""
    with tempfile.TemporaryDirectory(prefix="logmill-trino-") as folder:
        folder, port = Path(folder), free_port()
        properties = {
            "coordinator": "true",
            "node-scheduler.include-coordinator": "true",
            "http-server.http.port": port,
            "discovery.uri": f"http://127.0.0.1:{port}",
            "query.max-memory-per-node": "1GB",
            "catalog.config-dir": folder / "catalogs",
            "plugin.dir": home / "plugin",
        }
        write_properties(folder / "config.properties", properties)
        (folder / "catalogs").mkdir()
        for name, catalog in catalogs.items():
            write_properties(folder / "catalogs" / f"{name}.properties", catalog)
        system = {
            "config": folder / "config.properties",
            "node.environment": "test",
            "node.id": "judge",
            "node.bind-ip": "127.0.0.1",
            "node.internal-address": "127.0.0.1",
            "node.data-dir": folder,
            "jdk.attach.allowAttachSelf": "true",
        }
        command = [java, *JVM, *options, *(f"-D{key}={value}" for key, value in system.items())]
        command += ["-cp", f"{home / 'lib'}{os.pathsep}{home / 'lib' / '*'}", main]
        log = folder / "server.log"
        started = time.monotonic()
        with open(log, "w") as out:
            process = subprocess.Popen(list(map(str, command)), cwd=folder, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        try:
            trino = Trino(f"http://127.0.0.1:{port}")
            while not trino.is_up():
                if process.poll() is not None or time.monotonic() - started > LONGEST_START_SECONDS:
                    raise SystemExit(f"Trino can't be started:\n{log.read_text()[-6000:]}")
                time.sleep(0.3)
            print(f"started {home.name} in {time.monotonic() - started:.0f} s", flush=True)
            yield trino
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def write_properties(path, properties):
    path.write_text("".join(f"{key}={value}\n" for key, value in properties.items()))


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


# ---- queries ---------------------------------------------------------------------------------------------------------


class TrinoError(Exception):
    """Trino's error of a query, and the column of its first line where the error is, if Trino says so."""

    def __init__(self, message, column=None):
        super().__init__(message)
        self.column = column


@dataclass
class Answer:
    columns: list[str]
    types: list[str]
    rows: list[tuple]
    stats: dict

    def dicts(self):
        return [dict(zip(self.columns, row)) for row in self.rows]


class Trino:
    def __init__(self, base, schema="default"):
        self.base = base
        self.schema = schema

    def is_up(self):
        try:
            with urllib.request.urlopen(f"{self.base}/v1/info", timeout=5) as answer:
                return not json.load(answer)["starting"] and self.query("SELECT 1").rows == [(1,)]
        except (urllib.error.URLError, OSError, TrinoError):
            return False

    def with_schema(self, name):
        """The same server. A schema is created, in which queries find their tables."""
        self.query(f"CREATE SCHEMA {name}")
        return Trino(self.base, name)

    def query(self, sql, catalog="logs", schema=None):
        """Runs a query. Retries at first: for some seconds after its start, the server does not know its own catalogs."""
        deadline = time.monotonic() + LONGEST_START_SECONDS
        while True:
            try:
                return self.ask(sql, catalog, schema or self.schema)
            except TrinoError as error:
                if "No nodes available" not in str(error) or time.monotonic() > deadline:
                    raise
                time.sleep(0.5)

    def ask(self, sql, catalog, schema):
        headers = {"X-Trino-User": "judge", "X-Trino-Catalog": catalog, "X-Trino-Schema": schema, "X-Trino-Time-Zone": "UTC"}
        page = self.request(f"{self.base}/v1/statement", headers, sql.encode())
        columns, rows = page.get("columns"), list(page.get("data", []))
        deadline = time.monotonic() + LONGEST_QUERY_SECONDS
        while "nextUri" in page:
            if time.monotonic() > deadline:
                raise TrinoError(f"no answer in {LONGEST_QUERY_SECONDS} s")
            page = self.request(page["nextUri"], headers)
            columns = page.get("columns") or columns
            rows += page.get("data", [])
        if "error" in page:
            place = page["error"].get("errorLocation") or {}
            raise TrinoError(page["error"]["message"], place.get("columnNumber") if place.get("lineNumber") == 1 else None)
        types = [column["type"] for column in columns or []]
        return Answer(
            [column["name"] for column in columns or []],
            types,
            [tuple(plain(value, kind) for value, kind in zip(row, types)) for row in rows],
            page["stats"],
        )

    @staticmethod
    def request(url, headers, body=None):
        with urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=60) as answer:
            return json.load(answer)


def plain(value, kind):
    """Converts a value of Trino's JSON to Python."""
    if value is None:
        return None
    if kind.replace(" ", "") == "decimal(38,0)":
        return Decimal(value)  # an exact sum
    kind = kind.partition("(")[0] if not kind.startswith("timestamp") else kind
    if kind in ("double", "real"):
        return float(value)
    if kind == "decimal":
        return float(value)
    if kind in ("varbinary", "HyperLogLog", "tdigest"):
        return base64.b64decode(value)
    try:
        if kind == "date":
            return date.fromisoformat(value)
        if kind.startswith("timestamp"):
            moment = datetime.fromisoformat(value.removesuffix(" UTC").replace(" +", "+").replace(" -", "-"))
            return moment.replace(tzinfo=moment.tzinfo or timezone.utc)
    except ValueError:
        pass  # Python supports only years of four digits, and no negative ones.
    return value
