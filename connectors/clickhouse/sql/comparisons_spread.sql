-- Cost and latency of both sides at the percentiles 5, 10 ... 95, over pairs where both answered.
-- {experiment:String} {from_ms:Int64} {to_ms:Int64}
SELECT
    count() AS pairs,
    arrayMap(n -> n * 5, range(1, 20)) AS percentiles,
    quantilesExact(0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)(primary_total_ms) AS primary_total_ms,
    quantilesExact(0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)(shadow_total_ms) AS shadow_total_ms,
    quantilesExact(0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)(primary_cost_nano_usd) AS primary_cost_nano_usd,
    quantilesExact(0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)(shadow_cost_nano_usd) AS shadow_cost_nano_usd
FROM
(
    SELECT
        status, primary_outcome, shadow_outcome, assumeNotNull(primary_total_ms) AS primary_total_ms, assumeNotNull(shadow_total_ms) AS shadow_total_ms,
        assumeNotNull(primary_cost_nano_usd) AS primary_cost_nano_usd, assumeNotNull(shadow_cost_nano_usd) AS shadow_cost_nano_usd
    FROM shadow_comparisons
    WHERE experiment = {experiment:String}
        AND accepted_at >= fromUnixTimestamp64Milli({from_ms:Int64}, 'UTC') AND accepted_at < fromUnixTimestamp64Milli({to_ms:Int64}, 'UTC')
    ORDER BY kafka_partition, kafka_offset
    LIMIT 1 BY tenant, request_id
)
WHERE status = 'compared' AND primary_outcome = 'ok' AND shadow_outcome = 'ok'
