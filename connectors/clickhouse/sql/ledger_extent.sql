-- When the ledger's lines of a range begin and end; one row, NULLs where there is none. Lines of old versions do not say
-- when their request was accepted, and count by the end of their call.
-- {from_ms:Int64} {to_ms:Int64} {tenant:String}
SELECT
    min(counted_ms) AS first_ms, max(counted_ms) AS last_ms, count() AS lines
FROM
(
    SELECT toUnixTimestamp64Milli(ifNull(accepted_at, at)) AS counted_ms
    FROM costs
    WHERE ({tenant:String} = '' OR tenant = {tenant:String}) AND at >= fromUnixTimestamp64Milli({from_ms:Int64}, 'UTC')
)
WHERE counted_ms >= {from_ms:Int64} AND counted_ms < {to_ms:Int64}
