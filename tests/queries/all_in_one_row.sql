-- No group keys, and names that are no words
SELECT count(*) AS "all", avg(sent_bytes) AS "Ø", sum(received_bytes) / count(*) AS "mean, truncated", max(sent_bytes) - min(sent_bytes)
FROM alb_access_logs
