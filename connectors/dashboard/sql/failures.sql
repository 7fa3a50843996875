-- What went wrong at the providers, failed-over calls included.
SELECT provider, ifNull(error_kind, '') AS kind, count() AS calls
FROM
(
    SELECT provider, error_kind, result
    FROM attempts
    WHERE phase = 'finished'
        AND started_at >= {from:DateTime64(3, 'UTC')} AND started_at < {to:DateTime64(3, 'UTC')}
        AND ({tenant:String} = '' OR tenant = {tenant:String})
        AND result = 'error'
    ORDER BY kafka_partition, kafka_offset LIMIT 1 BY attempt_id -- exact
)
GROUP BY provider, kind
ORDER BY calls DESC, provider, kind
LIMIT 20
