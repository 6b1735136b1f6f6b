"""Trino 435 is the judge of SQL: what logmill computes from log lines must be what Trino computes from the same lines.

    python3 tests/trino/judge_435.py LOGMILL CACHE [NAME…] [--all]

The names are those of JUDGES; without any, all judge. `--all` prints the outcome of each expression.
"""

import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

import judge_expressions
import judge_formats
import judge_queries
import judge_row_groups
import raw
import server
from checks import Checks

JUDGES = {"expressions": judge_expressions, "queries": judge_queries, "row_groups": judge_row_groups, "formats": judge_formats}
SHOWN = 10_000


def main():
    binary, cache, *names = [argument for argument in sys.argv[1:] if argument != "--all"]
    checks = Checks(SHOWN)
    with tempfile.TemporaryDirectory(prefix="logmill-judge-") as folder, raw.bucket() as bucket, ThreadPoolExecutor(1) as pool:
        work = {}
        for name in names or JUDGES:
            place = Path(folder, name)
            JUDGES[name].write(place)
            # logmill computes while Trino does.
            work[name] = place, pool.submit(JUDGES[name].compute, binary, place)
        with server.trino_435(Path(cache), {"logs": bucket.catalog()}) as trino:
            for name, (place, computed) in work.items():
                JUDGES[name].judge(checks, trino.with_schema(name), bucket, place, computed.result)
    return checks.close()


if __name__ == "__main__":
    sys.exit(main())
