WITH hours AS (
  SELECT date_trunc('hour', from_iso8601_timestamp(time)) AS hour, count(*) AS n
  FROM alb_access_logs
  GROUP BY 1
)
SELECT hour AT TIME ZONE 'Asia/Tokyo' AS local, n
FROM hours
WHERE n > (SELECT count(*) / 1000 FROM alb_access_logs)
ORDER BY 1
