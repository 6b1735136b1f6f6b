-- Which parameters do requests have, and how often
SELECT split_part(pair, '=', 1) AS parameter,
       count(*) AS uses,
       count(DISTINCT client_ip) AS clients,
       max(place) AS last_place
FROM alb_access_logs
CROSS JOIN UNNEST(split(url_extract_query(request_url), '&')) WITH ORDINALITY AS pairs (pair, place)
WHERE elb_status_code < 400
GROUP BY 1
ORDER BY uses DESC, parameter
