-- What the vendor said of attempts that were estimated first: the first end that is no estimate.
-- {attempt_ids:Array(String)}
SELECT
    attempt_id, usage_input_tokens, usage_output_tokens, usage_cache_read_tokens, usage_cache_write_tokens,
    usage_reasoning_tokens, usage_estimated, usage_cache_write_1h_tokens, usage_service_tier
FROM attempts
WHERE phase = 'finished' AND NOT ifNull(usage_estimated, true) AND attempt_id IN {attempt_ids:Array(String)}
ORDER BY kafka_partition, kafka_offset
LIMIT 1 BY attempt_id
