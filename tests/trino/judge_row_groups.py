"""Trino 435, to which Athena's engine v3 is close, reads a packed day of several row groups.

It reads the file through the Hive connector, which has the same Parquet reader as the Delta Lake connector. If filters on two columns
exclude a whole row group, Trino must still read the rest of the file. Before version 436 it did not, if a file had a column index.
"""

import gzip
from datetime import datetime, timedelta

import pyarrow.parquet
import raw
from logmill import Logmill

ROLLUP = """
SELECT date_trunc('minute', from_iso8601_timestamp(time)) AS minute,
       hour(from_iso8601_timestamp(time)) AS hour,
       elb_status_code AS status,
       url_extract_parameter(request_url, 'uid') AS uid,
       count(*) AS requests
FROM alb_access_logs
GROUP BY 1, 2, 3, 4
"""
TABLE = """
CREATE TABLE requests ("minute" timestamp, "hour" bigint, "status" integer, "uid" varchar, "requests" bigint)
WITH (format = 'PARQUET', external_location = '{}')
"""
BEGIN = datetime(2026, 11, 20, 8)
MINUTES = 9 * 60
# A row group of a million rows holds four hours. The first has pages with failures, and other pages from ten o'clock on.
LINES_OF_A_MINUTE = 4200
LINE = 'h2 {}:30.000000Z app/shop/50 192.0.2.1:1 - 0 0 0 {} - 1 1 "GET https://h:443/e?uid=u{:08} HTTP/2.0" "-" - -\n'


def fails(moment):
    return moment.hour in (9, 14) and moment.minute < 5


def write(folder):
    (folder / "rollups").mkdir(parents=True)
    (folder / "rollups" / "requests.sql").write_text(ROLLUP)
    (folder / "logs").mkdir()
    name = "123456789012_elasticloadbalancing_us-east-2_app.shop.50dc6c495c0c9188_20261120T1700Z_10.0.1.7_b3c4d5e6.log.gz"
    with gzip.open(folder / "logs" / name, "wt", compresslevel=1) as log:
        for minute in range(MINUTES):
            moment = BEGIN + timedelta(minutes=minute)
            status = 503 if fails(moment) else 200
            for number in range(minute * LINES_OF_A_MINUTE, (minute + 1) * LINES_OF_A_MINUTE):
                log.write(LINE.format(f"{moment:%Y-%m-%dT%H:%M}", status, number))


def compute(binary, folder):
    """The folder of a packed table."""
    logmill = Logmill(binary, folder / "tables")
    logmill.run(folder / "logs", folder / "rollups")
    logmill.call("maintain")
    return folder / "tables" / "requests"


def judge(checks, trino, bucket, folder, computed):
    packed = sorted(computed().glob("date=2026-11-20/day-*.parquet"))
    groups = [pyarrow.parquet.ParquetFile(path).num_row_groups for path in packed]
    checks.check(f"a day is one file of several row groups: {groups}", [] if len(groups) == 1 and groups[0] > 2 else groups)
    columns = pyarrow.parquet.ParquetFile(packed[0]).metadata.row_group(0)
    indexed = [columns.column(n).path_in_schema for n in range(columns.num_columns) if columns.column(n).has_column_index]
    checks.check("no column has a column index", indexed)

    moments = [BEGIN + timedelta(minutes=minute) for minute in range(MINUTES)]
    questions = {
        "hour >= 10 AND status = 503": lambda moment: moment.hour >= 10 and fails(moment),
        "status = 503": fails,
        "hour >= 10": lambda moment: moment.hour >= 10,
        "hour = 12 AND status = 200": lambda moment: moment.hour == 12,
        "hour < 9 AND status = 503": lambda moment: False,
    }
    bucket.put("requests/day.parquet", packed[0].read_bytes())
    trino.query(TABLE.format(f"s3://{raw.BUCKET}/requests/"))
    for condition, holds in questions.items():
        answer = trino.query(f"SELECT sum(requests) FROM requests WHERE {condition}").rows[0][0]
        expected = LINES_OF_A_MINUTE * sum(map(holds, moments)) or None
        wrong = [] if answer == expected else [f"Trino {answer}, expected {expected}"]
        checks.check(f"sum(requests) WHERE {condition}: {expected}", wrong)
