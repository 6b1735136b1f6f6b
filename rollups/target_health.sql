-- Status and latency by minute and target group.
-- Read any percentile, in seconds, with value_at_quantile(merge(cast(latency AS tdigest)), 0.99).
SELECT date_trunc('minute', from_iso8601_timestamp(time))                  AS minute,
       split_part(target_group_arn, '/', 2)                                AS target_group,
       elb_status_code / 100                                               AS status_class,
       count(*)                                                            AS requests,
       count_if(target_status_code <> '-')                                 AS answered,
       sum(received_bytes)                                                 AS received_bytes,
       sum(sent_bytes)                                                     AS sent_bytes,
       max(target_processing_time)                                         AS slowest,
       tdigest_agg(target_processing_time) FILTER (WHERE target_processing_time >= 0) AS latency
FROM alb_access_logs
GROUP BY 1, 2, 3
