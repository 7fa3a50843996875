-- The arms of a live split in figures: outcomes of the requests that were first decided in each.
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
    ),
    ended AS
    (
        SELECT
            drawn.arm AS arm, r.outcome AS outcome, ifNull(r.model, '') AS model, r.cost_nano_usd AS cost_nano_usd,
            r.timings_ms_first_token AS first_token_ms, r.timings_ms_total AS total_ms
        FROM responses AS r
        INNER JOIN drawn USING (tenant, request_id)
        WHERE r.role = 'primary' AND r.accepted_at >= start AND r.accepted_at < end
        ORDER BY r.kafka_partition, r.kafka_offset
        LIMIT 1 BY tenant, request_id
    )
SELECT
    arm,
    count() AS requests,
    countIf(e.outcome != 'ok') AS errors,
    sumMap(map(e.model, toUInt64(1))) AS models,
    sum(e.cost_nano_usd) AS cost_nano_usd,
    quantilesExactIf(0.5, 0.95)(assumeNotNull(e.first_token_ms), isNotNull(e.first_token_ms)) AS first_token_ms,
    quantilesExactIf(0.5, 0.95)(assumeNotNull(e.total_ms), isNotNull(e.total_ms)) AS total_ms,
    countIf(isNotNull(e.first_token_ms)) AS first_token_ms_count,
    countIf(isNotNull(e.total_ms)) AS total_ms_count,

    countIf(e.outcome = 'ok') AS ok_cost_nano_usd_count,
    avgIf(e.cost_nano_usd, e.outcome = 'ok') AS ok_cost_nano_usd_mean,
    varPopStableIf(e.cost_nano_usd, e.outcome = 'ok') AS ok_cost_nano_usd_variance,
    countIf(e.outcome = 'ok' AND isNotNull(e.first_token_ms)) AS ok_first_token_ms_count,
    avgIf(e.first_token_ms, e.outcome = 'ok') AS ok_first_token_ms_mean,
    varPopStableIf(e.first_token_ms, e.outcome = 'ok') AS ok_first_token_ms_variance,
    countIf(e.outcome = 'ok' AND isNotNull(e.total_ms)) AS ok_total_ms_count,
    avgIf(e.total_ms, e.outcome = 'ok') AS ok_total_ms_mean,
    varPopStableIf(e.total_ms, e.outcome = 'ok') AS ok_total_ms_variance
FROM ended AS e
GROUP BY arm
ORDER BY arm
