-- The pairs of an experiment by kinds of requests, the largest of each kind.
-- {experiment:String} {from_ms:Int64} {to_ms:Int64}
SELECT
    segment.1 AS by,
    segment.2 AS value,
    count() AS pairs,
    countIf(winner = 'shadow') AS wins,
    countIf(winner = 'tie') AS ties,
    countIf(winner = 'primary') AS losses,
    countIf(primary_outcome = 'ok' AND shadow_outcome = 'ok') AS answered,
    avgIf(shadow_cost_nano_usd - primary_cost_nano_usd, primary_outcome = 'ok' AND shadow_outcome = 'ok') AS cost_nano_usd
FROM
(
    SELECT *
    FROM shadow_comparisons
    WHERE experiment = {experiment:String}
        AND accepted_at >= fromUnixTimestamp64Milli({from_ms:Int64}, 'UTC') AND accepted_at < fromUnixTimestamp64Milli({to_ms:Int64}, 'UTC')
    ORDER BY kafka_partition, kafka_offset
    LIMIT 1 BY tenant, request_id
)
ARRAY JOIN [('tenant', toString(tenant)), ('route', toString(route)), ('domain', toString(domain)), ('band', toString(band))] AS segment
WHERE status = 'compared' AND segment.2 != ''
GROUP BY by, value
ORDER BY indexOf(['tenant', 'route', 'domain', 'band'], by), pairs DESC, value
LIMIT 20 BY by
