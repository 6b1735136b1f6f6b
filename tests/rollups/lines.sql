-- Every log line, with every column that the log has.
SELECT * FROM alb_access_logs
