SELECT hour(from_iso8601_timestamp(time)) AS hour_of_day, count_if(elb_status_code >= 500) AS broken, avg(target_processing_time) AS mean
FROM alb_access_logs
WHERE target_processing_time >= 0
GROUP BY 1
ORDER BY 1
