-- Window functions over groups
SELECT user_agent,
       count(*) AS asked,
       round(100.0 * count(*) / sum(count(*)) OVER (), 1) AS share,
       rank() OVER (ORDER BY count(*) DESC, user_agent) AS place
FROM alb_access_logs
GROUP BY user_agent
ORDER BY place
