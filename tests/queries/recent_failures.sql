SELECT *
FROM alb_access_logs
WHERE elb_status_code > 499 AND from_iso8601_timestamp(time) > current_timestamp - INTERVAL '40' HOUR
