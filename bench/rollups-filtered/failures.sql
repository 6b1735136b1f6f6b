-- The reference rollup of failures only: 0.8 % of the lines.
SELECT date_trunc('minute', from_iso8601_timestamp(time))                    AS minute,
       url_extract_parameter(request_url, 'e')                               AS event,
       url_extract_parameter(request_url, 'c')                               AS country,
       elb_status_code,
       count(*)                                                              AS events,
       sum(try_cast(url_extract_parameter(request_url, 'amt') AS double))    AS amount,
       sum(sent_bytes)                                                       AS sent_bytes,
       approx_set(url_extract_parameter(request_url, 'uid'))                 AS users
FROM alb_access_logs
WHERE elb_status_code >= 500
GROUP BY 1, 2, 3, 4
