SELECT date_trunc('hour', from_iso8601_timestamp(time)) AS hour,
       count(DISTINCT client_ip) FILTER (WHERE elb_status_code >= 400) AS addresses,
       round(100.0 * count(DISTINCT client_ip) / count(*), 1) AS per_hundred
FROM alb_access_logs
GROUP BY 1
ORDER BY count(DISTINCT client_port) DESC
