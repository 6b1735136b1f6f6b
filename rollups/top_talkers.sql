-- The clients with the most requests, by hour.
SELECT date_trunc('hour', from_iso8601_timestamp(time))                    AS hour,
       client_ip,
       user_agent,
       count(*)                                                            AS requests,
       count_if(elb_status_code >= 400)                                    AS failed,
       sum(sent_bytes)                                                     AS sent_bytes,
       min(time)                                                           AS first_seen,
       max(time)                                                           AS last_seen
FROM alb_access_logs
GROUP BY 1, 2, 3
