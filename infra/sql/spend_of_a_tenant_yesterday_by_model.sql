-- What did a tenant spend yesterday, by model?
-- {tenant:String}
SELECT
    model,
    sum(lines) AS calls,
    sum(input_tokens) AS input_tokens,
    sum(output_tokens) AS output_tokens,
    sum(cost_nano_usd) / 1e9 AS usd
FROM spend_by_hour
WHERE tenant = {tenant:String}
    AND hour >= toDateTime(yesterday(), 'UTC')
    AND hour < toDateTime(today(), 'UTC')
    AND role IN ('primary', 'retry', 'failover', 'continuation')
GROUP BY model
ORDER BY usd DESC
