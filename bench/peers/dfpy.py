"""The reference rollup in DataFusion for Python: its CSV reader with a space as the delimiter, and split_part."""

from common import COLUMNS, NUMBERS, THREADS, arguments
from datafusion import SessionConfig, SessionContext

data, out = arguments()


def parameter(name):
    return f"split_part(split_part(query, '&{name}=', 2), '&', 1)"


context = SessionContext(SessionConfig().with_target_partitions(THREADS))
columns = ", ".join(f'"{name}" {"INT" if name in NUMBERS else "VARCHAR"}' for name in COLUMNS)
context.sql(f"""
    CREATE EXTERNAL TABLE lines ({columns}) STORED AS CSV LOCATION '{data}/'
    OPTIONS ('format.delimiter' ' ', 'format.quote' '"', 'format.has_header' 'false', 'format.compression' 'gzip')
""").collect()
context.sql(f"""
    COPY (
        SELECT to_timestamp(at || ':00') AS minute, event, country, elb_status_code,
               count(*) AS events,
               sum(try_cast(amt AS DOUBLE)) AS amount,
               sum(sent_bytes) AS sent_bytes,
               approx_distinct(nullif(uid, '')) AS users
        FROM (
            SELECT at, elb_status_code, sent_bytes, {parameter("e")} AS event, {parameter("c")} AS country,
                   {parameter("amt")} AS amt, {parameter("uid")} AS uid
            FROM (
                SELECT substr("time", 1, 16) AS at, elb_status_code, sent_bytes,
                       '&' || split_part(split_part(request, '?', 2), ' ', 1) AS query
                FROM lines
            )
        )
        GROUP BY at, event, country, elb_status_code
    ) TO '{out}' STORED AS PARQUET OPTIONS ('format.compression' 'zstd(3)')
""").collect()
