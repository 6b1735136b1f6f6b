SELECT date_trunc('hour', from_iso8601_timestamp(time))
         + (minute(from_iso8601_timestamp(time)) / 5) * INTERVAL '5' MINUTE AS bucket,
       count(*) AS requests,
       count(*) / 300.0 AS rps,
       count(*) FILTER (WHERE elb_status_code >= 500) AS errors
FROM alb_access_logs
GROUP BY 1
ORDER BY 1
