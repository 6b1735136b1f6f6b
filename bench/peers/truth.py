"""The expected result of each measured table: its rollup in DuckDB, with exact counts of users.

A rollup's SQL is over `lines`, the raw fields as text. Texts and integers must be equal. Columns in `close` must agree to a
millionth. Columns in `estimates` come from sketches, and must agree to 5 % on average over all groups.
"""

from dataclasses import dataclass, field


@dataclass
class Truth:
    keys: list[str]
    lines: str  # the column that has the number of lines
    sql: str
    close: list[str] = field(default_factory=list)
    estimates: list[str] = field(default_factory=list)


def parameter(name):
    return f"regexp_extract(request, '[?&]{name}=([^& ]*)', 1)"


MINUTE = "CAST(time[1:16] AS TIMESTAMP)"
HOUR = "CAST(time[1:13] || ':00' AS TIMESTAMP)"
AMOUNT = f"coalesce(sum(TRY_CAST({parameter('amt')} AS DOUBLE)), 0)"
USERS = f"count(DISTINCT nullif({parameter('uid')}, ''))"

# Only with enough values: definitions of the median differ for few values.
HALF = "median(target_processing_time::DOUBLE) FILTER (target_processing_time::DOUBLE >= 0)"


def reference(condition):
    return Truth(
        keys=["minute", "event", "country", "elb_status_code"],
        lines="events",
        close=["amount"],
        estimates=["users"],
        sql=f"""
            SELECT {MINUTE} AS minute, {parameter("e")} AS event, {parameter("c")} AS country,
                   elb_status_code::BIGINT AS elb_status_code,
                   count(*) AS events, {AMOUNT} AS amount, sum(sent_bytes::BIGINT)::BIGINT AS sent_bytes, {USERS} AS users
            FROM lines WHERE {condition} GROUP BY ALL
        """,
    )


TRUTHS = {
    "reference": reference("true"),
    "failures": reference("elb_status_code::BIGINT >= 500"),
    "latency": Truth(
        keys=["minute", "target_group", "status_class"],
        lines="requests",
        close=["slowest"],
        estimates=["half"],
        sql=f"""
            SELECT {MINUTE} AS minute, split_part(target_group_arn, '/', 2) AS target_group,
                   elb_status_code::BIGINT // 100 AS status_class,
                   count(*) AS requests, count(*) FILTER (target_status_code <> '-') AS answered,
                   sum(received_bytes::BIGINT)::BIGINT AS received_bytes, max(target_processing_time::DOUBLE) AS slowest,
                   CASE WHEN answered >= 100 THEN {HALF} ELSE 0 END AS half
            FROM lines GROUP BY ALL
        """,
    ),
    "pages": Truth(
        keys=["hour", "page"],
        lines="views",
        close=["amount"],
        estimates=["users"],
        sql=f"""
            SELECT {HOUR} AS hour, url_decode({parameter("p")}) AS page, count(*) AS views, {AMOUNT} AS amount, {USERS} AS users
            FROM lines WHERE {parameter("e")} = 'view' GROUP BY ALL
        """,
    ),
    "purchases": Truth(
        keys=["minute", "country"],
        lines="purchases",
        close=["amount"],
        estimates=["users"],
        sql=f"""
            SELECT {MINUTE} AS minute, {parameter("c")} AS country, count(*) AS purchases, {AMOUNT} AS amount, {USERS} AS users
            FROM lines WHERE {parameter("e")} = 'purchase' AND elb_status_code::BIGINT < 400 GROUP BY ALL
        """,
    ),
    "user_agents": Truth(
        keys=["hour", "user_agent", "type"],
        lines="requests",
        sql=f"""
            SELECT {HOUR} AS hour, user_agent, type, count(*) AS requests,
                   count(*) FILTER (elb_status_code::BIGINT >= 400) AS failed, sum(sent_bytes::BIGINT)::BIGINT AS sent_bytes,
                   min(time) AS first_seen, max(time) AS last_seen
            FROM lines GROUP BY ALL
        """,
    ),
}
