-- CTEs that only compute columns and filter lines
WITH answered AS (
    SELECT *, elb_status_code / 100 AS class FROM alb_access_logs WHERE target_status_code <> '-'
), sizes AS (
    SELECT class, elb, sent_bytes / 1024 AS kib FROM answered WHERE class <> 3
)
SELECT s.class, elb, max(kib) AS largest, count(*) AS n
FROM sizes AS s
WHERE kib < 1000
GROUP BY s.class, elb
HAVING count(*) > 1
ORDER BY n DESC, class
