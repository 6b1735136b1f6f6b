-- The pages that take longest, over all log files so far.
SELECT url_extract_path(request_url)                       AS page,
       count(*)                                            AS requests,
       round(avg(target_processing_time), 3)               AS mean_seconds,
       approx_percentile(target_processing_time, 0.95)     AS p95_seconds,
       count(DISTINCT client_ip)                           AS clients
FROM alb_access_logs
WHERE target_processing_time >= 0
GROUP BY url_extract_path(request_url)
HAVING count(*) >= 5
ORDER BY p95_seconds DESC
LIMIT 5
