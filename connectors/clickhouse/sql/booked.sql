-- The ledger by attempt: what its charge says, the sum of all its lines, the ids of those that are no charge. A line counts
-- once; all lines of an attempt belong to the same request, so to the same range. Columns are those of `schemas.ledger.Booked`.
-- {from_ms:Int64} {to_ms:Int64} {tenant:String} {part:UInt32} {parts:UInt32}
SELECT
    l.tenant, l.attempt_id, any(l.request_id), any(l.attempt), any(l.user), any(l.key_id), any(l.tags), any(l.provider), any(l.model),
    any(l.role),
    sumIf(l.usage_input_tokens, l.kind = 'charge'), sumIf(l.usage_output_tokens, l.kind = 'charge'),
    sumIf(l.usage_cache_read_tokens, l.kind = 'charge'), sumIf(l.usage_cache_write_tokens, l.kind = 'charge'),
    sumIf(l.usage_reasoning_tokens, l.kind = 'charge'), anyIf(l.usage_estimated, l.kind = 'charge'),
    sumIf(l.usage_cache_write_1h_tokens, l.kind = 'charge'), anyIf(l.usage_service_tier, l.kind = 'charge'),
    anyIf(l.price_version, l.kind = 'charge'), anyIf(toUnixTimestamp64Milli(l.at), l.kind = 'charge'),
    any(toUnixTimestamp64Milli(l.accepted_at)), any(l.kafka_partition), sum(l.cost_nano_usd), groupArrayIf(l.cost_id, l.kind != 'charge')
FROM
(
    SELECT * FROM costs
    WHERE ({tenant:String} = '' OR tenant = {tenant:String})
        AND at >= fromUnixTimestamp64Milli({from_ms:Int64}, 'UTC')
        AND ifNull(accepted_at, at) >= fromUnixTimestamp64Milli({from_ms:Int64}, 'UTC')
        AND ifNull(accepted_at, at) < fromUnixTimestamp64Milli({to_ms:Int64}, 'UTC')
        AND ({parts:UInt32} = 1 OR cityHash64(attempt_id) % {parts:UInt32} = {part:UInt32})
    ORDER BY kafka_partition, kafka_offset
    LIMIT 1 BY tenant, cost_id
) AS l
GROUP BY l.tenant, l.attempt_id
HAVING countIf(l.kind = 'charge') > 0
