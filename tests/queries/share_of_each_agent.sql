WITH total AS (SELECT count(*) AS n FROM alb_access_logs),
by_agent AS (
  SELECT user_agent, count(*) AS hits FROM alb_access_logs GROUP BY user_agent
)
SELECT user_agent, hits, round(100.0 * hits / total.n, 2) AS pct
FROM by_agent CROSS JOIN total
ORDER BY hits DESC, user_agent
LIMIT 25
