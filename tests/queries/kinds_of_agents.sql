SELECT a.kind, family, count(*) AS requests, count(DISTINCT l.client_ip) AS clients, max(a.agent) AS agent
FROM alb_access_logs l
LEFT JOIN agents a ON a.agent = l.user_agent
GROUP BY a.kind, a.family
ORDER BY requests DESC
