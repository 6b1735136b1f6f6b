-- The window covers whole days of delivery, so its edge is exact
SELECT user_agent, count() AS n
FROM alb_access_logs
WHERE day >= date_format(current_date - INTERVAL '1' DAY, '%Y/%m/%d')
GROUP BY 1
ORDER BY n DESC
