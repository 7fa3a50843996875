-- Who answered. A model has one provider: out of the rollup by hour.
SELECT model, any(a.provider) AS provider, sum(a.requests) AS requests, sum(a.failed_over) AS failed_over
FROM answers_by_hour AS a
WHERE bucket >= {from:DateTime64(3, 'UTC')} AND bucket < {to:DateTime64(3, 'UTC')}
    AND ({tenant:String} = '' OR tenant = {tenant:String})
GROUP BY model
ORDER BY requests DESC, model
LIMIT 20
