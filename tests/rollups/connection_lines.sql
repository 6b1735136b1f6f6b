-- Every log line, with all columns.
SELECT * FROM alb_connection_logs
