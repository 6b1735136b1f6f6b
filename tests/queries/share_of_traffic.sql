WITH base AS (
    SELECT user_agent, sent_bytes FROM alb_access_logs WHERE elb_status_code < 400
),
total AS (
    SELECT count(*) AS requests, sum(sent_bytes) AS sent FROM base
)
SELECT b.user_agent, sum(b.sent_bytes) AS sent, 100.0 * sum(b.sent_bytes) / total.sent AS share, total.requests
FROM base b CROSS JOIN total
GROUP BY b.user_agent, total.sent, total.requests
HAVING sum(b.sent_bytes) > 0.001 * (SELECT sum(sent_bytes) FROM base)
ORDER BY sent DESC
