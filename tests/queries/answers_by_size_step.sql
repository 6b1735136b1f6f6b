-- How large are the answers of each host, in steps
SELECT
    coalesce(element_at(split(request_url, '/'), 3), 'none') AS host,
    width_bucket(sent_bytes, ARRAY[100, 1000, 10000]) AS step,
    count(*) AS answers,
    count_if(contains(split(actions_executed, ','), 'forward')) AS forwarded
FROM alb_access_logs
GROUP BY 1, 2
ORDER BY host, step
