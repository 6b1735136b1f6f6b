-- The rollup of the benchmark: what a product asks of its events, by minute.
-- Groups are many (90 thousand in an hour of 1.5 million lines), and there is one column of each kind:
-- a count, a sum of text that must become a number, a sum of integers, and a distinct count.
SELECT date_trunc('minute', from_iso8601_timestamp(time))                    AS minute,
       url_extract_parameter(request_url, 'e')                               AS event,
       url_extract_parameter(request_url, 'c')                               AS country,
       elb_status_code,
       count(*)                                                              AS events,
       sum(try_cast(url_extract_parameter(request_url, 'amt') AS double))    AS amount,
       sum(sent_bytes)                                                       AS sent_bytes,
       approx_set(url_extract_parameter(request_url, 'uid'))                 AS users
FROM alb_access_logs
GROUP BY 1, 2, 3, 4
