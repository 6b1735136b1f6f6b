-- Every log line, with all columns.
SELECT * FROM alb_health_check_logs
