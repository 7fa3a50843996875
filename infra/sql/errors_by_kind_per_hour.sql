-- Which errors do providers give, per hour? The last day.
SELECT
    toStartOfHour(started_at) AS hour,
    provider,
    error_kind,
    count() AS calls
FROM attempts
WHERE phase = 'finished' AND result = 'error' AND started_at >= now() - INTERVAL 1 DAY
GROUP BY hour, provider, error_kind
ORDER BY hour, calls DESC
