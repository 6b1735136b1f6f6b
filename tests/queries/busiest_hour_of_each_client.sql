WITH hours AS (
    SELECT client_ip, date_trunc('hour', from_iso8601_timestamp(time)) AS hour, count(*) AS n
    FROM alb_access_logs
    GROUP BY 1, 2
)
SELECT client_ip, max(n) AS most, sum(n) AS total, round(avg(n), 3) AS usual
FROM hours
GROUP BY client_ip
ORDER BY most DESC
LIMIT 20
