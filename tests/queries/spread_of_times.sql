SELECT target_ip,
       round(stddev(target_processing_time), 6) AS spread,
       round(var_pop(target_processing_time), 6) AS variance,
       round(100.0 * sum(CASE WHEN elb_status_code > 499 THEN 1 ELSE 0 END) / count(*), 1) AS failing
FROM alb_access_logs
WHERE target_ip <> '' AND target_ip <> '-'
GROUP BY target_ip
ORDER BY failing DESC
