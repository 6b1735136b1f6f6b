SELECT target_processing_time * 1000 AS ms, client_ip, request_url
FROM alb_access_logs
WHERE target_processing_time > 1 AND day = '2026/11/21'
ORDER BY target_processing_time DESC
LIMIT 12
