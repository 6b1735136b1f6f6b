-- Health checks of targets, by their results.
SELECT date_trunc('minute', from_iso8601_timestamp(time))                   AS minute,
       target_group_id,
       type,
       status,
       reason_code,
       count(*)                                                             AS checks,
       count(elb)                                                           AS with_balancer,
       min(latency)                                                         AS fastest,
       max(latency)                                                         AS slowest,
       sum(latency)                                                         AS seconds,
       max(status_code)                                                     AS last_status_code,
       max(unhandled_fields)                                                AS newer,
       approx_set(target_addr)                                              AS targets,
       tdigest_agg(latency)                                                 AS latencies
FROM alb_health_check_logs
GROUP BY 1, 2, 3, 4, 5
