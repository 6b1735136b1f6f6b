SELECT upper(elb) AS balancer, sum(sent_bytes) AS sent
FROM alb_access_logs a
GROUP BY a.elb, request_verb
ORDER BY 2 DESC
