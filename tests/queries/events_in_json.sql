-- Which kinds of events do pages report in JSON
SELECT
    json_extract_scalar(url_extract_parameter(request_url, 'd'), '$.kind') AS kind,
    element_at(split(url_extract_path(request_url), '/'), -1) AS section,
    count(*) AS events,
    max(json_array_length(url_extract_parameter(request_url, 'l'))) AS longest
FROM alb_access_logs
WHERE cardinality(split(request_url, '?')) > 1
GROUP BY 1, 2
ORDER BY kind, section
