SELECT elb_status_code, avg(sent_bytes / 1024.0) AS kib, avg(-sent_bytes / 3.00) AS thirds, count(*) AS n
FROM alb_access_logs
GROUP BY elb_status_code
ORDER BY 1
