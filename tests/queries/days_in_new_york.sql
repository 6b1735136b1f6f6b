-- Days and the busiest hours as New York's clocks show them
SELECT date_trunc('day', from_iso8601_timestamp(time) AT TIME ZONE 'America/New_York') AS day_there,
       request_verb,
       count(*) AS requests,
       count_if(hour(from_iso8601_timestamp(time) AT TIME ZONE 'America/New_York') BETWEEN 9 AND 17) AS in_office_hours,
       max(from_iso8601_timestamp(time) AT TIME ZONE 'Asia/Tokyo') AS last_seen_in_tokyo,
       format_datetime(max(from_iso8601_timestamp(time) AT TIME ZONE 'Asia/Tokyo'), 'd.M. HH:mm ZZ') AS as_text
FROM alb_access_logs
WHERE from_iso8601_timestamp(time) > TIMESTAMP '2026-11-20 05:30:00 Asia/Kolkata'
GROUP BY 1, 2
ORDER BY 1
