SELECT domain_name, count(*) AS visits, min(time) AS first
FROM alb_access_logs
GROUP BY domain_name
HAVING count(*) < 1000 AND max(sent_bytes) > 0
ORDER BY max(time)
