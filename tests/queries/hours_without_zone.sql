SELECT date_trunc('hour', date_parse(substr(time, 1, 19), '%Y-%m-%dT%T')) AS in_hour,
       cast(parse_datetime(time, 'yyyy-MM-dd''T''HH:mm:ss.SSSSSSZ') AT TIME ZONE 'Europe/Berlin' AS date) AS day_in_berlin,
       count(*) AS n,
       date_diff('minute', date_trunc('hour', date_parse(substr(time, 1, 19), '%Y-%m-%dT%T')), max(date_parse(substr(time, 1, 19), '%Y-%m-%dT%T'))) AS last_minute
FROM alb_access_logs
WHERE date_parse(time, '%Y-%m-%dT%H:%i:%s.%fZ') >= TIMESTAMP '2026-11-20 00:00:00'
GROUP BY 1, 2
HAVING max(date_parse(substr(time, 1, 19), '%Y-%m-%dT%T')) > TIMESTAMP '2026-11-20 00:10:00'
ORDER BY in_hour
