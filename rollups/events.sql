-- Product events by minute: a request to /e?e=signup&uid=42&c=DE&amt=9.50 is an event.
-- Read the unique users of any span of time with cardinality(merge(cast(users AS HyperLogLog))).
--
-- One event may be several requests in the log. The collector (infra/collector.yaml) answers an event with 204; it redirects the
-- same URL on port 80 with 301, and it answers the OPTIONS request that a browser may send before it and a HEAD request with 204
-- too. So only GET and POST with 204 count. If your own servers answer events, change the status to theirs.
-- Redirects are logged like other requests:
-- https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-access-logs.html
-- OPTIONS before a request: https://developer.mozilla.org/en-US/docs/Glossary/Preflight_request
SELECT date_trunc('minute', from_iso8601_timestamp(time))                  AS minute,
       url_extract_parameter(request_url, 'e')                             AS event,
       url_extract_parameter(request_url, 'c')                             AS country,
       count(*)                                                            AS events,
       sum(try_cast(url_extract_parameter(request_url, 'amt') AS double))  AS amount,
       approx_set(url_extract_parameter(request_url, 'uid'))               AS users
FROM alb_access_logs
WHERE url_extract_path(request_url) = '/e'
  AND elb_status_code = 204
  AND request_verb IN ('GET', 'POST')
GROUP BY 1, 2, 3
