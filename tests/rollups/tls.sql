-- TLS connections of Network Load Balancers, by day.
SELECT tls_protocol_version,
       tls_named_group,
       version,
       count(*)                                                             AS connections,
       max(day)                                                             AS last_delivery,
       max(account)                                                         AS last_account,
       max(region)                                                          AS last_region,
       max(balancer)                                                        AS last_balancer,
       count(client_port)                                                   AS with_port,
       count(incoming_tls_alert)                                            AS alerts,
       sum(received_bytes)                                                  AS received,
       max(sent_bytes)                                                      AS most_sent,
       max(tcp_connection_time_ms)                                          AS longest,
       min(tls_connection_creation_time)                                    AS first_created,
       max(alpn_client_preference_list)                                     AS last_offer,
       bool_or(cert_arn = '-')                                              AS any_without_certificate,
       every(unhandled_fields IS NULL)                                      AS all_known,
       approx_set(client_ip)                                                AS clients,
       approx_set(target_port)                                              AS ports,
       tdigest_agg(tls_handshake_time_ms)                                   AS handshakes
FROM nlb_tls_logs
GROUP BY 1, 2, 3
