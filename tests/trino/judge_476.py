"""Trino 476 reads what logmill has written, through its Delta Lake connector.

    python3 tests/trino/judge_476.py LOGMILL CACHE
"""

import os
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

import judge_tables
import judge_writing
import raw
import server
from checks import Checks


def main():
    binary, cache = sys.argv[1:]
    checks = Checks()
    with tempfile.TemporaryDirectory(prefix="logmill-judge-") as folder, raw.bucket() as bucket:
        os.environ.update(bucket.environment())
        tables, writing = Path(folder, "tables"), Path(folder, "writing")
        tables.mkdir()
        writing.mkdir()
        catalogs = judge_tables.catalogs(tables) | judge_writing.catalogs(writing, bucket)
        with server.trino_476(Path(cache), catalogs) as trino:
            judge_tables.judge(checks, trino, binary, tables)
            judge_writing.judge(checks, trino, binary, writing)
    return checks.close()


if __name__ == "__main__":
    sys.exit(main())
