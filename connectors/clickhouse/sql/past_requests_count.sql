-- How many rows `past_requests` has in all.
-- {from_ms:Int64} {to_ms:Int64} {tenant:String} {all_kept:UInt8} {firsts:Array(UInt64)}
SELECT count() AS number
FROM requests
WHERE ({tenant:String} = '' OR tenant = {tenant:String})
    AND role = 'primary'
    AND accepted_at >= fromUnixTimestamp64Milli({from_ms:Int64}, 'UTC')
    AND accepted_at < fromUnixTimestamp64Milli({to_ms:Int64}, 'UTC')
    AND ({all_kept:UInt8} = 1 OR kafka_offset < {firsts:Array(UInt64)}[kafka_partition + 1])
