-- Views of each page by hour: many groups, and text that must be decoded.
SELECT date_trunc('hour', from_iso8601_timestamp(time))                      AS hour,
       url_extract_parameter(request_url, 'p')                               AS page,
       count(*)                                                              AS views,
       sum(try_cast(url_extract_parameter(request_url, 'amt') AS double))    AS amount,
       approx_set(url_extract_parameter(request_url, 'uid'))                 AS users
FROM alb_access_logs
WHERE url_extract_parameter(request_url, 'e') = 'view'
GROUP BY 1, 2
