-- Groups without a time, which are stored by day, and the aggregates that no example rollup has.
SELECT elb,
       type,
       count(target_port)                                                   AS served,
       min(elb_status_code)                                                 AS lowest_status,
       min(request_processing_time)                                         AS fastest,
       bool_or(target_status_code = '-')                                    AS any_unanswered,
       every(sent_bytes > 0)                                                AS all_answered,
       sum(target_processing_time) FILTER (WHERE target_processing_time >= 0) AS seconds,
       approx_set(client_port)                                              AS ports,
       approx_set(target_processing_time) FILTER (WHERE elb_status_code < 400) AS times,
       approx_set(trace_id)                                                 AS traces,
       tdigest_agg(sent_bytes)                                              AS sizes
FROM alb_access_logs
GROUP BY 1, 2
