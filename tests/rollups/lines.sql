-- Every log line, with all columns.
SELECT * FROM alb_access_logs
