WITH orders AS (
    SELECT countries.region, try_cast(url_extract_parameter(request_url, 'amt') AS double) AS amount, l.user_agent
    FROM alb_access_logs AS l
    JOIN countries ON countries.code = url_extract_parameter(l.request_url, 'c') AND l.type = countries.protocol
    WHERE l.elb_status_code < 500
)
SELECT region, a.family, count(*) AS orders, sum(amount) AS amount
FROM orders o LEFT OUTER JOIN agents a ON o.user_agent = a.agent
WHERE o.user_agent <> 'loadrig/2.1' OR a.agent IS NOT NULL
GROUP BY o.region, a.family
