-- Usage by groups: outcomes are counted, lines of the ledger added up. Both views apply the first-record rule; the lists of
-- ids only keep them from sorting what lies outside the range. Lines of old versions do not say when their request was accepted.
-- {by:String} {tag:String} {tenant:String} {from_ms:Int64} {to_ms:Int64}
WITH
    fromUnixTimestamp64Milli({from_ms:Int64}, 'UTC') AS start,
    fromUnixTimestamp64Milli({to_ms:Int64}, 'UTC') AS end,
    ended AS
    (
        SELECT tenant, model, user, tags, role, accepted_at AS counted_at
        FROM outcomes
        WHERE ({tenant:String} = '' OR tenant = {tenant:String})
            AND ({by:String} = 'role' OR role = 'primary')
            AND request_id IN
            (
                SELECT request_id FROM responses
                WHERE ({tenant:String} = '' OR tenant = {tenant:String}) AND accepted_at >= start AND accepted_at < end
            )
    ),
    booked AS
    (
        SELECT
            tenant, model, user, tags, role, usage_input_tokens, usage_output_tokens, cost_nano_usd,
            ifNull(accepted_at, at) AS counted_at
        FROM ledger
        WHERE ({tenant:String} = '' OR tenant = {tenant:String})
            AND ({by:String} = 'role' OR role IN ('primary', 'retry', 'failover', 'continuation'))
            AND cost_id IN
            (
                SELECT cost_id FROM costs
                WHERE ({tenant:String} = '' OR tenant = {tenant:String})
                    AND ifNull(accepted_at, at) >= start AND ifNull(accepted_at, at) < end
            )
    )
SELECT
    multiIf(
        {by:String} = 'model', model,
        {by:String} = 'user', user,
        {by:String} = 'day', toString(toDate(counted_at)),
        {by:String} = 'role', role,
        {by:String} = 'tenant', tenant,
        mapContains(tags, {tag:String}), tags[{tag:String}],
        NULL
    ) AS by,
    sum(requests) AS requests,
    sum(input_tokens) AS input_tokens,
    sum(output_tokens) AS output_tokens,
    sum(cost_nano_usd) AS cost_nano_usd
FROM
(
    SELECT tenant, CAST(model, 'Nullable(String)') AS model, user, tags, role, counted_at,
        1 AS requests, 0 AS input_tokens, 0 AS output_tokens, 0 AS cost_nano_usd
    FROM ended
    UNION ALL
    SELECT tenant, model, user, tags, role, counted_at,
        0 AS requests, usage_input_tokens AS input_tokens, usage_output_tokens AS output_tokens, cost_nano_usd
    FROM booked
)
WHERE counted_at >= start AND counted_at < end
GROUP BY by
ORDER BY by
