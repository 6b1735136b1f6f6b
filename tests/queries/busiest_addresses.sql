SELECT "Address", max("N"), sum("N")
FROM (
  SELECT client_ip AS "Address", elb_status_code, count(*) AS "N"
  FROM alb_access_logs
  GROUP BY 1, 2
)
GROUP BY "Address"
ORDER BY sum("N") DESC, "Address"
LIMIT 20
