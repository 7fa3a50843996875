-- Where the outcome of a request stands; with neither outcome nor request no row.
-- {tenant:String} {request_id:String}
SELECT kafka_partition, kafka_offset
FROM
(
    SELECT 0 AS place, kafka_partition, kafka_offset
    FROM outcomes
    WHERE tenant = {tenant:String} AND request_id = {request_id:String}
    UNION ALL
    SELECT 1 AS place, NULL AS kafka_partition, NULL AS kafka_offset
    FROM requests
    WHERE tenant = {tenant:String} AND request_id = {request_id:String}
)
ORDER BY place
LIMIT 1
