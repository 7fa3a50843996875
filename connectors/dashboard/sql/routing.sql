-- Who answered. A model has one provider.
SELECT model, any(o.provider) AS provider, count() AS requests, countIf(attempts > 1) AS failed_over
FROM
(
    SELECT model, provider, attempts, outcome
    FROM responses
    WHERE role = 'primary'
        AND finished_at >= {from:DateTime64(3, 'UTC')} AND finished_at < {to:DateTime64(3, 'UTC')}
        AND ({tenant:String} = '' OR tenant = {tenant:String})
    ORDER BY kafka_partition, kafka_offset LIMIT 1 BY tenant, request_id -- exact
) AS o
WHERE outcome = 'ok'
GROUP BY model
ORDER BY requests DESC, model
LIMIT 20
