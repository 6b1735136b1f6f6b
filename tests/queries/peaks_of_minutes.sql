SELECT max(n) AS peak, approx_percentile(n, 0.95) AS p95, avg(bps) AS mean, count(*) AS minutes
FROM (
  SELECT date_trunc('minute', from_iso8601_timestamp(time)) AS m, count(*) AS n,
         sum(sent_bytes) * 8 / 60.0 AS bps
  FROM alb_access_logs
  GROUP BY 1
)
