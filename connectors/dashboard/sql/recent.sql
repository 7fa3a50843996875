-- The requests that ended last.
SELECT finished_at, request_id, tenant, model, provider, outcome, code, attempts, cost_nano_usd, total_ms
FROM
(
    SELECT *
    FROM
    (
        SELECT
            finished_at, request_id, tenant, ifNull(model, '') AS model, ifNull(provider, '') AS provider, outcome,
            ifNull(error_code, '') AS code, attempts, cost_nano_usd, timings_ms_total AS total_ms,
            kafka_partition, kafka_offset
        FROM responses
        WHERE role = 'primary'
            AND finished_at >= {from:DateTime64(3, 'UTC')} AND finished_at < {to:DateTime64(3, 'UTC')}
            AND ({tenant:String} = '' OR tenant = {tenant:String})
        ORDER BY finished_at DESC
        LIMIT 100
    )
    ORDER BY kafka_partition, kafka_offset
    LIMIT 1 BY tenant, request_id
)
ORDER BY finished_at DESC
LIMIT 50
