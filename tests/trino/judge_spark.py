"""Spark with Delta Lake reads logmill's tables, after each commit and after compaction, and gets what `logmill query` gets.

    python3 tests/trino/judge_spark.py LOGMILL CACHE

PySpark comes from PyPI and Delta's jars from Maven Central, once into the cache. Among the tables are those with arrays and maps.
"""

import os
import shutil
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

import judge_queries
import server
import traffic
from checks import Checks
from logmill import Logmill
from rows import changed, check_rows

# Delta's jars are built for one minor version of Spark.
PYTHON = ["pyspark==4.1.4", "py4j==0.10.9.9"]
DELTA = [
    ("io.delta", "delta-spark_4.1_2.13", "4.1.0", "jar", "9b05d7a82196ee1f1073733a45a2faae59161e52b86ae918fe6742fad6eaf036"),
    ("io.delta", "delta-storage", "4.1.0", "jar", "6d0520ffcc35b582369f92c23fa24e14a5bb935cf6e31ed7f47c5046ae17cb25"),
]


def main():
    binary, cache = sys.argv[1:3]
    checks = Checks()
    with tempfile.TemporaryDirectory(prefix="logmill-spark-") as folder, spark(Path(cache), folder) as session:
        folder = Path(folder)
        rollups = folder / "rollups"
        rollups.mkdir()
        for path in [HERE.parent / "nested.sql", HERE.parent / "rollups" / "balancers.sql", *(HERE.parent.parent / "rollups").glob("*.sql")]:
            shutil.copy(path, rollups)
        logmill = Logmill(binary, folder / "tables")
        types = set()

        def read(sql):
            """The rows of a table as Spark reads it by its path."""
            table = session.read.format("delta").load(str(logmill.tables / sql.rpartition(" ")[2]))
            types.update(field.dataType.typeName() for field in table.schema)
            rows = table.toArrow()
            return server.Answer(rows.column_names, table.dtypes, [tuple(row.values()) for row in rows.to_pylist()], {})

        def check(when):
            for path in sorted(logmill.tables.glob("*/_delta_log")):
                check_rows(checks, read, logmill, path.parent.name, when, "Spark")

        for part in (1, 2):
            for key, lines in traffic.log_files(part, 10, 60):
                judge_queries.put(folder / "logs" / str(part) / key, lines)
            logmill.run(folder / "logs", rollups)
            check(f"after {part} commits")
        logmill.call("maintain")
        check("packed")
        log_file = min((folder / "logs").rglob("*.gz"))
        for change in changed(logmill, rollups, "target_health", log_file):
            check_rows(checks, read, logmill, "target_health", change, "Spark")
        wanted = {"array", "binary", "boolean", "date", "decimal", "double", "integer", "long", "map", "string", "timestamp"}
        checks.check(f"columns of these types: {', '.join(sorted(types))}", sorted(wanted - types))
    return checks.close()


def fetch(folder, scratch):
    server.run([sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", folder / "python", *PYTHON])
    for artifact in DELTA:
        server.artifact(scratch, *artifact).rename(folder / f"{artifact[1]}.jar")


@contextmanager
def spark(cache, scratch):
    """A Spark in this process and a Java of its own, which reads tables from folders."""
    home = server.fetched("spark-4.1.4", cache, fetch)
    os.environ["JAVA_HOME"] = str(server.java(17).parent.parent)
    sys.path.insert(0, str(home / "python"))
    from pyspark.sql import SparkSession

    settings = {
        "spark.jars": ",".join(map(str, sorted(home.glob("*.jar")))),
        "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
        "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
        "spark.sql.session.timeZone": "UTC",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.memory": server.HEAP,
        "spark.driver.extraJavaOptions": " ".join(server.JVM[1:]),
        "spark.local.dir": scratch,
        "spark.sql.warehouse.dir": f"{scratch}/warehouse",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        # By default, Spark reads each table's log by 50 tasks.
        "spark.databricks.delta.snapshotPartitions": "1",
        "spark.sql.shuffle.partitions": "1",
    }
    builder = SparkSession.builder.master("local[2]").appName("logmill")
    for name, value in settings.items():
        builder = builder.config(name, value)
    session = builder.getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    try:
        print(f"started Spark {session.version}", flush=True)
        yield session
    finally:
        session.stop()


if __name__ == "__main__":
    sys.exit(main())
