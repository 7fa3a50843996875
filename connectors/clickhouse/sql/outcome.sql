-- Where the outcome of a caller's request stands; with neither outcome nor request no row. Replays and shadows are nobody's.
-- {tenant:String} {request_id:String}
SELECT kafka_partition, kafka_offset
FROM
(
    SELECT 0 AS place, kafka_partition, kafka_offset
    FROM outcomes
    WHERE tenant = {tenant:String} AND request_id = {request_id:String} AND role = 'primary'
    UNION ALL
    SELECT 1 AS place, NULL AS kafka_partition, NULL AS kafka_offset
    FROM requests
    WHERE tenant = {tenant:String} AND request_id = {request_id:String} AND role = 'primary'
)
ORDER BY place
LIMIT 1
