-- What the calls of an experiment and of its judge cost since a time, by the lines of its log.
-- {experiment:String} {since_ms:Int64}
SELECT sum(ifNull(shadow_cost_nano_usd, 0) + judge_cost_nano_usd) AS spent_nano_usd
FROM
(
    SELECT shadow_cost_nano_usd, judge_cost_nano_usd
    FROM shadow_comparisons
    WHERE experiment = {experiment:String} AND at >= fromUnixTimestamp64Milli({since_ms:Int64}, 'UTC')
    ORDER BY kafka_partition, kafka_offset
    LIMIT 1 BY tenant, request_id
)
