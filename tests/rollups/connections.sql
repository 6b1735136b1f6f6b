-- Connections of Application Load Balancers, and what their certificates failed of.
SELECT date_trunc('hour', from_iso8601_timestamp(time))                     AS hour,
       balancer,
       listener_port,
       tls_protocol,
       tls_verify_status,
       count(*)                                                             AS connections,
       count(client_port)                                                   AS with_port,
       count_if(leaf_client_cert_subject = '-')                             AS without_certificate,
       sum(tls_handshake_latency) FILTER (WHERE tls_handshake_latency >= 0) AS seconds,
       max(tls_keyexchange)                                                 AS last_key_exchange,
       max(leaf_client_cert_subject)                                        AS last_subject,
       min(ip_address)                                                      AS first_node,
       bool_or(unhandled_fields IS NOT NULL)                                AS any_newer,
       approx_set(client_ip)                                                AS clients,
       tdigest_agg(tls_handshake_latency)                                   AS latency
FROM alb_connection_logs
GROUP BY 1, 2, 3, 4, 5
