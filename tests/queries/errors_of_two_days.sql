SELECT url_extract_path(request_url) AS path, elb_status_code, count(*) AS times
FROM weblogs.alb_access_logs
WHERE day BETWEEN '2026/11/20' AND '2026/11/21' AND elb_status_code >= 400
GROUP BY 1, 2
HAVING count(*) > 3
ORDER BY times DESC
