-- Requests that ended, those that failed, and how long they took. `added`: total less the provider's own time: out of the rollup by ten minutes.
SELECT
    sum(t.requests) AS requests,
    sum(t.errors) AS errors,
    quantilesTDigestIfMerge(0.5, 0.95, 0.99)(first_token) AS first_token_ms,
    quantilesTDigestIfMerge(0.5, 0.95, 0.99)(total) AS total_ms,
    quantilesTDigestIfMerge(0.5, 0.95, 0.99)(added) AS added_ms
FROM traffic_by_10_minutes AS t
WHERE bucket >= {from:DateTime64(3, 'UTC')} AND bucket < {to:DateTime64(3, 'UTC')}
    AND ({tenant:String} = '' OR tenant = {tenant:String})
