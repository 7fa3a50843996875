-- What people said of the answers of each arm, in the order in which they said it, in {steps} heaps of one size: how often
-- each score. What was said of a conversation counts for the arm that all its requests were in.
-- {experiment:String} {from_ms:Int64} {to_ms:Int64} {steps:UInt16}
WITH
    fromUnixTimestamp64Milli({from_ms:Int64}, 'UTC') AS start,
    fromUnixTimestamp64Milli({to_ms:Int64}, 'UTC') AS end,
    drawn AS
    (
        SELECT tenant, request_id, ifNull(arm, '') AS arm
        FROM decisions
        WHERE experiment = {experiment:String} AND decided_at >= start
        ORDER BY attempt, kafka_partition, kafka_offset
        LIMIT 1 BY tenant, request_id
    ),
    answered AS
    (
        SELECT tenant, request_id, ifNull(r.conversation_id, '') AS conversation_id, drawn.arm AS arm
        FROM responses AS r
        INNER JOIN drawn USING (tenant, request_id)
        WHERE r.role = 'primary' AND r.accepted_at >= start AND r.accepted_at < end
        ORDER BY r.kafka_partition, r.kafka_offset
        LIMIT 1 BY tenant, request_id
    ),
    said AS
    (
        SELECT tenant, request_id, conversation_id, at, round(ifNull(f.score, if(label = 'up', 1., 0.)), 2) AS score
        FROM feedback AS f FINAL
        WHERE isNotNull(f.score) OR label IN ('up', 'down')
    ),
    rated AS
    (
        SELECT arm, score, at
        FROM said
        INNER JOIN answered USING (tenant, request_id)
        WHERE said.request_id != ''
        UNION ALL
        SELECT arm, score, at
        FROM said
        INNER JOIN
        (
            SELECT tenant, conversation_id, any(answered.arm) AS arm
            FROM answered
            WHERE conversation_id != ''
            GROUP BY tenant, conversation_id
            HAVING uniqExact(answered.arm) = 1
        ) AS talks USING (tenant, conversation_id)
        WHERE said.request_id = ''
    )
SELECT intDiv((place - 1) * {steps:UInt16}, ratings) AS step, arm, score, count() AS seen
FROM
(
    SELECT arm, score, row_number() OVER (ORDER BY at) AS place, count() OVER () AS ratings
    FROM rated
)
GROUP BY step, arm, score
ORDER BY step, arm, score
