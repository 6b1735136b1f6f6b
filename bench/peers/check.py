"""Compares results with the truth: `python check.py DATA RESULT.parquet…`, exit code 1 if one disagrees.

The truth is counted here, users exactly. Counts and byte sums must be the same; amounts to a millionth; users, which
are estimates, to 5 % in the mean over all groups. A NULL event or country is the empty string to the peers, and a
NULL amount is 0.
"""

import sys
from pathlib import Path

import duckdb
from common import COLUMNS

USERS_MEAN_ERROR_MAX = 0.05

data, *results = sys.argv[1:]
columns = ", ".join(f"'{name}': 'VARCHAR'" for name in COLUMNS)

connection = duckdb.connect()
connection.execute("SET TimeZone = 'UTC'")
connection.execute(f"""
    CREATE TABLE truth AS
    SELECT CAST(time[1:16] AS TIMESTAMP) AS minute,
           regexp_extract(request, '[?&]e=([^& ]*)', 1) AS event,
           regexp_extract(request, '[?&]c=([^& ]*)', 1) AS country,
           elb_status_code::BIGINT AS elb_status_code,
           count(*) AS events,
           coalesce(sum(TRY_CAST(regexp_extract(request, '[?&]amt=([^& ]*)', 1) AS DOUBLE)), 0) AS amount,
           sum(sent_bytes::BIGINT) AS sent_bytes,
           count(DISTINCT nullif(regexp_extract(request, '[?&]uid=([^& ]*)', 1), '')) AS users
    FROM read_csv('{data}/*.gz', delim = ' ', quote = '"', escape = '', header = false, auto_detect = false,
                  compression = 'gzip', columns = {{{columns}}})
    GROUP BY ALL
""")

disagree = False
for result in results:
    missing, doubled, events, sent_bytes, amounts, users = connection.execute(f"""
        WITH result AS (
            SELECT minute::TIMESTAMP AS minute, coalesce(event, '') AS event, coalesce(country, '') AS country,
                   elb_status_code::BIGINT AS elb_status_code, events::BIGINT AS events, coalesce(amount, 0) AS amount,
                   sent_bytes::BIGINT AS sent_bytes, coalesce(users, 0)::BIGINT AS users
            FROM '{result}'
        )
        SELECT count(*) FILTER (truth.events IS NULL OR result.events IS NULL),
               (SELECT count(*) - count(DISTINCT (minute, event, country, elb_status_code)) FROM result),
               count(*) FILTER (truth.events <> result.events),
               count(*) FILTER (truth.sent_bytes <> result.sent_bytes),
               count(*) FILTER (abs(truth.amount - result.amount) > 1e-6 * greatest(1, abs(truth.amount))),
               coalesce(avg(abs(truth.users - result.users) / greatest(truth.users, 1)), 1)
        FROM truth FULL JOIN result USING (minute, event, country, elb_status_code)
    """).fetchone()
    agrees = not (missing or doubled or events or sent_bytes or amounts) and users <= USERS_MEAN_ERROR_MAX
    disagree |= not agrees
    print(
        f"{Path(result).stem}: {'agrees' if agrees else 'DISAGREES'}; "
        f"groups missing or too many {missing}, doubled {doubled}, with other events {events}, other bytes {sent_bytes}, "
        f"other amounts {amounts}; users off by {users:.2%} in the mean"
    )

groups, lines = connection.execute("SELECT count(*), sum(events) FROM truth").fetchone()
print(f"truth: {groups} groups of {lines} lines")
sys.exit(disagree)
