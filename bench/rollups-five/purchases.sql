-- Turnover by minute and country: a few lines of many.
SELECT date_trunc('minute', from_iso8601_timestamp(time))                    AS minute,
       url_extract_parameter(request_url, 'c')                               AS country,
       count(*)                                                              AS purchases,
       sum(try_cast(url_extract_parameter(request_url, 'amt') AS double))    AS amount,
       approx_set(url_extract_parameter(request_url, 'uid'))                 AS users
FROM alb_access_logs
WHERE url_extract_parameter(request_url, 'e') = 'purchase'
  AND elb_status_code < 400
GROUP BY 1, 2
