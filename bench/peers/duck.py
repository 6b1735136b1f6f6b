"""The reference rollup in DuckDB: its CSV reader with a space as the delimiter, then SQL.

`re` extracts each parameter with its own regular expression. `one` extracts all four with a single one. It is
faster, and correct only if every URL has them in this order. `json`, `w3c` and `parquet` do the same with logs of these shapes.
"""

import duckdb
from common import COLUMNS, NUMBERS, THREADS, arguments

variant, data, out = arguments("one", "re", "json", "w3c", "parquet")

typed = {name: "INTEGER" if name in NUMBERS else "VARCHAR" for name in COLUMNS}
columns = ", ".join(f"'{name}': '{kind}'" for name, kind in typed.items())
csv = f"escape = '', header = false, auto_detect = false, compression = 'gzip', columns = {{{columns}}}"
needed = "{time: 'VARCHAR', request_line: 'VARCHAR', elb_status_code: 'INTEGER', sent_bytes: 'INTEGER'}"
text = f"""read_csv('{data}/*.gz', delim = ' ', quote = '"', {csv})"""
lines = {
    "json": f"(SELECT *, request_line AS request FROM read_json('{data}/*.gz', format = 'newline_delimited', columns = {needed}))",
    "w3c": f"read_csv('{data}/*.gz', delim = '\t', quote = '', skip = 2, {csv})",
    "parquet": f"""
        (SELECT time, request_line AS request, elb_status_code::INTEGER AS elb_status_code, sent_bytes::INTEGER AS sent_bytes
         FROM read_parquet('{data}/*.parquet'))
    """,
}.get(variant, text)

if variant != "re":
    parameters = f"""
        SELECT minute, elb_status_code, sent_bytes,
               found.e AS event, found.c AS country, found.amt AS amt, found.uid AS uid
        FROM (SELECT time[1:16] AS minute, elb_status_code, sent_bytes,
                     regexp_extract(request, '[?]e=([^& ]*)&uid=([^& ]*)&c=([^& ]*)&amt=([^& ]*)',
                                    ['e', 'uid', 'c', 'amt']) AS found
              FROM {lines})
    """
else:
    parameters = f"""
        SELECT time[1:16] AS minute, elb_status_code, sent_bytes,
               regexp_extract(request, '[?&]e=([^& ]*)', 1) AS event,
               regexp_extract(request, '[?&]c=([^& ]*)', 1) AS country,
               regexp_extract(request, '[?&]amt=([^& ]*)', 1) AS amt,
               regexp_extract(request, '[?&]uid=([^& ]*)', 1) AS uid
        FROM {lines}
    """

connection = duckdb.connect()
connection.execute(f"SET threads = {THREADS}")
connection.execute("SET preserve_insertion_order = false")
connection.execute(f"""
    COPY (
        SELECT CAST(minute AS TIMESTAMP) AS minute, event, country, elb_status_code,
               count(*) AS events,
               sum(TRY_CAST(amt AS DOUBLE)) AS amount,
               sum(sent_bytes)::BIGINT AS sent_bytes,
               approx_count_distinct(nullif(uid, '')) AS users
        FROM ({parameters})
        GROUP BY ALL
    ) TO '{out}' (FORMAT parquet, COMPRESSION zstd)
""")
