-- Logs of Classic Load Balancers.
SELECT date_trunc('hour', from_iso8601_timestamp("timestamp"))              AS hour,
       elb_response_code,
       request_verb,
       count(*)                                                             AS requests,
       sum(backend_processing_time)                                         AS seconds,
       max(user_agent)                                                      AS last_agent,
       approx_set(request_ip)                                               AS clients
FROM elb_logs
GROUP BY 1, 2, 3
