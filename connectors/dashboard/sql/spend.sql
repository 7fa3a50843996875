-- What was booked in all; every role.
SELECT sum(cost_nano_usd) AS cost_nano_usd, count() AS lines
FROM
(
    SELECT cost_nano_usd
    FROM costs
    WHERE at >= {from:DateTime64(3, 'UTC')} AND at < {to:DateTime64(3, 'UTC')}
        AND ({tenant:String} = '' OR tenant = {tenant:String})
    ORDER BY kafka_partition, kafka_offset LIMIT 1 BY tenant, cost_id -- exact
)
