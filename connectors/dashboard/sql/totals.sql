-- Requests that ended, those that failed, and how long they took. `added`: total less the provider's own time.
SELECT
    count() AS requests,
    countIf(outcome = 'error') AS errors,
    quantilesDD(0.01, 0.5, 0.95, 0.99)(timings_ms_first_token) AS first_token_ms,
    quantilesDD(0.01, 0.5, 0.95, 0.99)(timings_ms_total) AS total_ms,
    quantilesDDIf(0.01, 0.5, 0.95, 0.99)(timings_ms_total - timings_ms_provider, outcome = 'ok' AND attempts = 1) AS added_ms
FROM
(
    SELECT outcome, attempts, timings_ms_first_token, timings_ms_total, timings_ms_provider
    FROM responses
    WHERE role = 'primary'
        AND finished_at >= {from:DateTime64(3, 'UTC')} AND finished_at < {to:DateTime64(3, 'UTC')}
        AND ({tenant:String} = '' OR tenant = {tenant:String})
    ORDER BY kafka_partition, kafka_offset LIMIT 1 BY tenant, request_id -- exact
)
