SELECT client_ip, count(DISTINCT request_url) AS pages, count(DISTINCT user_agent) AS agents, count(*) AS asked
FROM alb_access_logs
WHERE time >= '2026-11-20'
GROUP BY client_ip
HAVING count(DISTINCT request_url) > 5
ORDER BY asked DESC
LIMIT 30
