SELECT date_trunc('hour', from_iso8601_timestamp(time)) AS hour, count(*) AS n
FROM alb_access_logs
GROUP BY time
ORDER BY n DESC, hour
LIMIT 30
