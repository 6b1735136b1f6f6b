-- Arrays of numbers and of texts, and a map: columns that other engines than Athena must read as well.
SELECT elb,
       approx_percentile(target_processing_time, ARRAY[0.5, 0.99])     AS waits,
       ARRAY[min(time), max(time), nullif(max(redirect_url), '-')]     AS texts,
       numeric_histogram(8, target_processing_time)                    AS curve,
       count(*)                                                        AS requests
FROM alb_access_logs
GROUP BY elb
