-- How long did callers wait for the first token, per provider and hour? The last day.
SELECT
    provider,
    hour,
    sum(attempts) AS calls,
    quantilesTDigestIfMerge(0.5, 0.95, 0.99)(first_event)[2] AS first_token_p95_ms
FROM latency_by_hour
WHERE hour >= now() - INTERVAL 1 DAY
    AND role NOT IN ('shadow', 'judge', 'probe', 'replay')
GROUP BY provider, hour
ORDER BY provider, hour
