-- How many lines of the ledger fall into each step of a range.
-- {from_ms:Int64} {to_ms:Int64} {tenant:String} {step_ms:Int64}
SELECT {from_ms:Int64} + intDiv(counted_ms - {from_ms:Int64}, {step_ms:Int64}) * {step_ms:Int64} AS step, count() AS lines
FROM
(
    SELECT toUnixTimestamp64Milli(ifNull(accepted_at, at)) AS counted_ms
    FROM costs
    WHERE ({tenant:String} = '' OR tenant = {tenant:String}) AND at >= fromUnixTimestamp64Milli({from_ms:Int64}, 'UTC')
)
WHERE counted_ms >= {from_ms:Int64} AND counted_ms < {to_ms:Int64}
GROUP BY step
ORDER BY step
