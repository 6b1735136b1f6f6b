-- Aggregates whose states are more than a number
SELECT target_ip AS server,
       approx_distinct(client_ip) AS visitors,
       approx_distinct(request_url, 0.1) AS pages,
       count(DISTINCT date_trunc('minute', from_iso8601_timestamp(time))) AS minutes,
       max_by(request_url, time) AS last_page,
       min_by(client_ip, time) AS first_visitor,
       approx_percentile(target_processing_time, length(request_url), 0.9) AS p90,
       numeric_histogram(8, target_processing_time) AS curve,
       to_hex(checksum(client_ip)) AS fingerprint,
       any_value(target_ip) AS itself
FROM alb_access_logs
GROUP BY target_ip
ORDER BY visitors DESC
