"""Writes text logs in another shape: `python reshape.py json|w3c|parquet LOGS OUT`, with AWS's names of the fields.

The fields are those of a delivery through CloudWatch Logs, all as texts.
"""

import gzip
import json
import re
import shutil
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from common import COLUMNS

NAMES = {"client": "client_port", "target": "target_port", "request": "request_line"}
FIELD = re.compile(r'"((?:[^"\\]|\\.)*)"|([^ ]+)')


def main():
    shape, logs, out = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    names = [NAMES.get(name, name) for name in COLUMNS]
    for path in sorted(logs.glob("*.gz")):
        with gzip.open(path, "rt") as file:
            lines = [[quoted or plain for quoted, plain in FIELD.findall(line)] for line in file]
        name = path.name.removesuffix(".log.gz")
        if shape == "parquet":
            columns = zip(*lines, strict=True)
            pq.write_table(pa.table(dict(zip(names, columns, strict=True))), out / f"{name}.parquet", compression="snappy")
            continue
        with gzip.open(out / f"{name}.log.gz", "wt", compresslevel=6) as file:
            if shape == "w3c":
                file.write(f"#Version: 1.0\n#Fields: {' '.join(names)}\n")
            for line in lines:
                text = json.dumps(dict(zip(names, line)), separators=(",", ":")) if shape == "json" else "\t".join(line)
                file.write(text + "\n")


main()
