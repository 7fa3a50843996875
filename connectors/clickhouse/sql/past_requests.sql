-- Callers' requests of a range as the log had them, in order, from a place on; with `all_kept` 0 only what Kafka has no more:
-- before the first offset that a partition keeps.
-- {from_ms:Int64} {to_ms:Int64} {tenant:String} {all_kept:UInt8} {firsts:Array(UInt64)} {most:UInt32}
-- {after_ms:Int64} {after_partition:UInt32} {after_offset:UInt64}
SELECT
    request_id, tenant, partition_key, model, operation, stream, priority,
    toUnixTimestamp64Milli(accepted_at) AS accepted_ms, toUnixTimestamp64Milli(deadline_at) AS deadline_ms,
    features_input_tokens, features_language, features_task, features_complexity, features_band, features_sensitivity,
    body, body_ref_topic, body_ref_partition, body_ref_offset, max_tokens, user, key_id, tags, kafka_partition, kafka_offset
FROM requests
WHERE ({tenant:String} = '' OR tenant = {tenant:String})
    AND role = 'primary'
    AND accepted_at >= fromUnixTimestamp64Milli(greatest({from_ms:Int64}, {after_ms:Int64}), 'UTC')
    AND accepted_at < fromUnixTimestamp64Milli({to_ms:Int64}, 'UTC')
    AND ({all_kept:UInt8} = 1 OR kafka_offset < {firsts:Array(UInt64)}[kafka_partition + 1])
    AND (toUnixTimestamp64Milli(accepted_at), kafka_partition, kafka_offset)
        > ({after_ms:Int64}, {after_partition:UInt32}, {after_offset:UInt64})
ORDER BY accepted_at, kafka_partition, kafka_offset
LIMIT {most:UInt32}
