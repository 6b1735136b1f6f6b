SELECT DISTINCT ssl_protocol, ssl_cipher FROM alb_access_logs WHERE ssl_protocol <> '-' ORDER BY 1;
