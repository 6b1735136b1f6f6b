SELECT page, slowest, rank() OVER (ORDER BY slowest DESC) AS place
FROM (
  SELECT url_extract_path(request_url) AS page, max(nullif(target_processing_time, -1)) AS slowest
  FROM alb_access_logs
  GROUP BY 1
)
ORDER BY slowest DESC, page DESC
LIMIT 12
