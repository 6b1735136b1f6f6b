SELECT t.page, t.time, t.elb_status_code
FROM (
  SELECT regexp_extract(request_url, '^[^?]*') AS page, *
  FROM alb_access_logs
  WHERE elb_status_code BETWEEN 400 AND 599
) t
WHERE t.page IS NOT NULL
ORDER BY t.time DESC, t.page, t.client_port
LIMIT 40
