-- How the verdict of an experiment came about: its judged pairs in the order in which they came, in {steps} heaps of one size.
-- {experiment:String} {from_ms:Int64} {to_ms:Int64} {steps:UInt16}
SELECT
    intDiv((place - 1) * {steps:UInt16}, judged) AS step,
    countIf(winner = 'shadow') AS wins,
    countIf(winner = 'tie') AS ties,
    countIf(winner = 'primary') AS losses
FROM
(
    SELECT winner, row_number() OVER (ORDER BY at, kafka_partition, kafka_offset) AS place, count() OVER () AS judged
    FROM
    (
        SELECT winner, status, at, kafka_partition, kafka_offset
        FROM shadow_comparisons
        WHERE experiment = {experiment:String}
            AND accepted_at >= fromUnixTimestamp64Milli({from_ms:Int64}, 'UTC') AND accepted_at < fromUnixTimestamp64Milli({to_ms:Int64}, 'UTC')
        ORDER BY kafka_partition, kafka_offset
        LIMIT 1 BY tenant, request_id
    )
    WHERE status = 'compared' AND isNotNull(winner)
)
GROUP BY step
ORDER BY step
