-- Product events by minute: a request to /e?e=signup&uid=42&c=DE&amt=9.50 is an event.
-- Read the unique users of any span of time with cardinality(merge(cast(users AS HyperLogLog))).
SELECT date_trunc('minute', from_iso8601_timestamp(time))                  AS minute,
       url_extract_parameter(request_url, 'e')                             AS event,
       url_extract_parameter(request_url, 'c')                             AS country,
       count(*)                                                            AS events,
       sum(try_cast(url_extract_parameter(request_url, 'amt') AS double))  AS amount,
       approx_set(url_extract_parameter(request_url, 'uid'))               AS users
FROM alb_access_logs
WHERE url_extract_path(request_url) = '/e'
  AND elb_status_code < 400
GROUP BY 1, 2, 3
