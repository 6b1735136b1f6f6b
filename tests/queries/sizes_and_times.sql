SELECT request_verb,
       geometric_mean(sent_bytes + 1) AS usual_size,
       corr(target_processing_time, sent_bytes) AS related,
       covar_pop(target_processing_time, sent_bytes) AS together,
       covar_samp(target_processing_time, sent_bytes) AS together_of_sample,
       regr_slope(target_processing_time, sent_bytes) AS per_byte,
       regr_intercept(target_processing_time, sent_bytes) AS without_bytes,
       bitwise_and_agg(sent_bytes) AS common_bits,
       bitwise_or_agg(sent_bytes) AS all_bits
FROM alb_access_logs
WHERE target_processing_time >= 0
GROUP BY 1
ORDER BY usual_size
