-- The subquery counts other lines than the query
SELECT url_extract_path(request_url) AS path,
       count(*) AS failed,
       round(count(*) * 100.0 / (SELECT count(*) FROM alb_access_logs WHERE request_verb = 'GET'), 3) AS per_hundred,
       (SELECT max(sent_bytes) FROM alb_access_logs) AS largest
FROM alb_access_logs
WHERE elb_status_code >= 400 AND request_verb = 'GET'
GROUP BY 1
ORDER BY failed DESC
