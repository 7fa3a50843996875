-- The same over time: out of the rollup by ten minutes.
SELECT
    toUnixTimestamp(toStartOfInterval(t.bucket, toIntervalSecond({step_s:UInt32}))) AS bucket,
    sum(t.requests) AS requests,
    sum(t.errors) AS errors,
    quantilesTDigestIfMerge(0.5, 0.95, 0.99)(first_token) AS first_token_ms,
    quantilesTDigestIfMerge(0.5, 0.95, 0.99)(total) AS total_ms,
    quantilesTDigestIfMerge(0.5, 0.95, 0.99)(added) AS added_ms
FROM traffic_by_10_minutes AS t
WHERE t.bucket >= {from:DateTime64(3, 'UTC')} AND t.bucket < {to:DateTime64(3, 'UTC')}
    AND ({tenant:String} = '' OR tenant = {tenant:String})
GROUP BY bucket
ORDER BY bucket
