-- More than 5 % of the requests to a target group were answered with 5xx, in an hour. See docs/alerts.md.
SELECT date_trunc('hour', minute)                                          AS hour,
       target_group,
       sum(requests)                                                       AS requests,
       sum(requests) FILTER (WHERE status_class = 5)                       AS errors
FROM target_health
GROUP BY 1, 2
HAVING sum(requests) FILTER (WHERE status_class = 5) > 0.05 * sum(requests)
   AND sum(requests) >= 20
