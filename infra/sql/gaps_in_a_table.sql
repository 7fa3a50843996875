-- Are all records there, once each? Per partition: rows, distinct offsets, and the span that they cover.
SELECT
    kafka_partition,
    count() AS rows,
    uniqExact(kafka_offset) AS offsets,
    max(kafka_offset) - min(kafka_offset) + 1 AS span
FROM costs
GROUP BY kafka_partition
ORDER BY kafka_partition
