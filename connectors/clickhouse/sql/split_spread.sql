-- Cost and latency of each arm at the percentiles 5, 10 ... 95, of requests that were answered.
-- {experiment:String} {from_ms:Int64} {to_ms:Int64}
WITH
    fromUnixTimestamp64Milli({from_ms:Int64}, 'UTC') AS start,
    fromUnixTimestamp64Milli({to_ms:Int64}, 'UTC') AS end,
    drawn AS
    (
        SELECT tenant, request_id, ifNull(arm, '') AS arm
        FROM decisions
        WHERE experiment = {experiment:String} AND decided_at >= start
        ORDER BY attempt, kafka_partition, kafka_offset
        LIMIT 1 BY tenant, request_id
    )
SELECT
    arm,
    quantilesExact(0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)(assumeNotNull(e.total_ms)) AS total_ms,
    quantilesExact(0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)(e.cost_nano_usd) AS cost_nano_usd
FROM
(
    SELECT drawn.arm AS arm, r.outcome AS outcome, r.timings_ms_total AS total_ms, r.cost_nano_usd AS cost_nano_usd
    FROM responses AS r
    INNER JOIN drawn USING (tenant, request_id)
    WHERE r.role = 'primary' AND r.accepted_at >= start AND r.accepted_at < end
    ORDER BY r.kafka_partition, r.kafka_offset
    LIMIT 1 BY tenant, request_id
) AS e
WHERE e.outcome = 'ok'
GROUP BY arm
ORDER BY arm
