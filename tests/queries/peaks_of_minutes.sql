SELECT max(mbps) AS peak_mbps, approx_percentile(mbps, 0.95) AS p95_mbps, avg(mbps) AS avg_mbps, count(*) AS minutes
FROM (
  SELECT date_trunc('minute', from_iso8601_timestamp(time)) AS m,
         sum(sent_bytes) * 8 / 60.0 / 1000000 AS mbps
  FROM alb_access_logs
  GROUP BY 1
)
