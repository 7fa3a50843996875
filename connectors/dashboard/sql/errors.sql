-- What callers were told, by code.
SELECT ifNull(error_code, '') AS code, ifNull(error_kind, '') AS kind, count() AS requests
FROM
(
    SELECT outcome, error_code, error_kind
    FROM responses
    WHERE role = 'primary'
        AND finished_at >= {from:DateTime64(3, 'UTC')} AND finished_at < {to:DateTime64(3, 'UTC')}
        AND ({tenant:String} = '' OR tenant = {tenant:String})
    ORDER BY kafka_partition, kafka_offset LIMIT 1 BY tenant, request_id -- exact
)
WHERE outcome = 'error'
GROUP BY code, kind
ORDER BY requests DESC, code
LIMIT 20
