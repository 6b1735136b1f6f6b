-- Every log line, with all columns.
SELECT * FROM nlb_tls_logs
