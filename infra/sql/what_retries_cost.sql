-- How much did retries cost, and how much of that was for answers that nobody got? The last seven days, by tenant.
SELECT
    tenant,
    countIf(role != 'primary') AS further_calls,
    sumIf(cost_nano_usd, role != 'primary') / 1e9 AS further_usd,
    sumIf(cost_nano_usd, NOT effective) / 1e9 AS ineffective_usd,
    sum(cost_nano_usd) / 1e9 AS usd
FROM ledger
WHERE at >= now() - INTERVAL 7 DAY
    AND role IN ('primary', 'retry', 'failover', 'continuation')
GROUP BY tenant
ORDER BY further_usd DESC
