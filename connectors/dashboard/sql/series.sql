-- The same over time.
SELECT
    toUnixTimestamp(toStartOfInterval(finished_at, toIntervalSecond({step_s:UInt32}))) AS bucket,
    count() AS requests,
    countIf(outcome = 'error') AS errors,
    quantilesDD(0.01, 0.5, 0.95)(timings_ms_first_token) AS first_token_ms,
    quantilesDD(0.01, 0.5, 0.95)(timings_ms_total) AS total_ms,
    quantilesDDIf(0.01, 0.5, 0.95)(timings_ms_total - timings_ms_provider, outcome = 'ok' AND attempts = 1) AS added_ms
FROM
(
    SELECT finished_at, outcome, attempts, timings_ms_first_token, timings_ms_total, timings_ms_provider
    FROM responses
    WHERE role = 'primary'
        AND finished_at >= {from:DateTime64(3, 'UTC')} AND finished_at < {to:DateTime64(3, 'UTC')}
        AND ({tenant:String} = '' OR tenant = {tenant:String})
    ORDER BY kafka_partition, kafka_offset LIMIT 1 BY tenant, request_id -- exact
)
GROUP BY bucket
ORDER BY bucket
