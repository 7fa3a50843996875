-- Rollups: sums and quantile states per hour or day, filled by a view at every insert.
--
-- `kafka_partition` stands in every key: whoever owns a partition can rebuild its hours while others write theirs. The sink
-- does so with the SELECT of the view itself, so that it stands here only.

-- Every line of the ledger, by who spent it on what.
CREATE TABLE IF NOT EXISTS spend_by_hour
(
    tenant LowCardinality(String),
    hour DateTime('UTC') CODEC(Delta(4), ZSTD(1)),
    provider LowCardinality(String),
    model LowCardinality(String),
    role LowCardinality(String),
    kafka_partition UInt16,
    lines SimpleAggregateFunction(sum, UInt64),
    effective SimpleAggregateFunction(sum, UInt64),
    input_tokens SimpleAggregateFunction(sum, Int64),
    output_tokens SimpleAggregateFunction(sum, Int64),
    cache_read_tokens SimpleAggregateFunction(sum, Int64),
    cache_write_tokens SimpleAggregateFunction(sum, Int64),
    reasoning_tokens SimpleAggregateFunction(sum, Int64),
    cost_nano_usd SimpleAggregateFunction(sum, Int64)
)
ENGINE = ${replicated}AggregatingMergeTree
PARTITION BY toYYYYMM(hour)
ORDER BY (tenant, hour, provider, model, role, kafka_partition)
SETTINGS non_replicated_deduplication_window = 10000;

CREATE MATERIALIZED VIEW IF NOT EXISTS spend_by_hour_view TO spend_by_hour AS
SELECT
    c.tenant AS tenant,
    toStartOfHour(c.at) AS hour,
    c.provider AS provider,
    c.model AS model,
    c.role AS role,
    c.kafka_partition AS kafka_partition,
    count() AS lines,
    countIf(c.effective) AS effective,
    sum(c.usage_input_tokens) AS input_tokens,
    sum(c.usage_output_tokens) AS output_tokens,
    sum(c.usage_cache_read_tokens) AS cache_read_tokens,
    sum(c.usage_cache_write_tokens) AS cache_write_tokens,
    sum(c.usage_reasoning_tokens) AS reasoning_tokens,
    sum(c.cost_nano_usd) AS cost_nano_usd
FROM costs AS c
GROUP BY tenant, hour, provider, model, role, kafka_partition;

-- Every finished attempt, by endpoint: `first_event` and `duration` are states of quantilesTDigest(0.5, 0.95, 0.99), in ms.
CREATE TABLE IF NOT EXISTS latency_by_hour
(
    provider LowCardinality(String),
    model LowCardinality(String),
    region LowCardinality(String),
    role LowCardinality(String),
    hour DateTime('UTC') CODEC(Delta(4), ZSTD(1)),
    kafka_partition UInt16,
    attempts SimpleAggregateFunction(sum, UInt64),
    ok SimpleAggregateFunction(sum, UInt64),
    errors SimpleAggregateFunction(sum, UInt64),
    first_event AggregateFunction(quantilesTDigestIf(0.5, 0.95, 0.99), Int64, UInt8),
    duration AggregateFunction(quantilesTDigestIf(0.5, 0.95, 0.99), Int64, UInt8)
)
ENGINE = ${replicated}AggregatingMergeTree
PARTITION BY toYYYYMM(hour)
ORDER BY (provider, model, region, role, hour, kafka_partition)
TTL hour + INTERVAL 400 DAY
SETTINGS ttl_only_drop_parts = 1, non_replicated_deduplication_window = 10000;

CREATE MATERIALIZED VIEW IF NOT EXISTS latency_by_hour_view TO latency_by_hour AS
SELECT
    a.provider AS provider,
    a.model AS model,
    a.region AS region,
    a.role AS role,
    toStartOfHour(a.started_at) AS hour,
    a.kafka_partition AS kafka_partition,
    count() AS attempts,
    countIf(a.result = 'ok') AS ok,
    countIf(a.result = 'error') AS errors,
    quantilesTDigestIfState(0.5, 0.95, 0.99)(ifNull(a.first_event_ms, 0), a.first_event_ms IS NOT NULL) AS first_event,
    quantilesTDigestIfState(0.5, 0.95, 0.99)(ifNull(a.duration_ms, 0), a.duration_ms IS NOT NULL) AS duration
FROM attempts AS a
WHERE a.phase = 'finished'
GROUP BY provider, model, region, role, hour, kafka_partition;

-- How requests ended, by model and route: `total` is a state of quantilesTDigest(0.5, 0.95, 0.99), in ms.
CREATE TABLE IF NOT EXISTS quality_by_day
(
    tenant LowCardinality(String),
    day Date,
    route LowCardinality(String),
    model LowCardinality(String),
    role LowCardinality(String),
    kafka_partition UInt16,
    outcomes SimpleAggregateFunction(sum, UInt64),
    ok SimpleAggregateFunction(sum, UInt64),
    errors SimpleAggregateFunction(sum, UInt64),
    failed_over SimpleAggregateFunction(sum, UInt64),
    cut_short SimpleAggregateFunction(sum, UInt64),
    filtered SimpleAggregateFunction(sum, UInt64),
    from_cache SimpleAggregateFunction(sum, UInt64),
    total AggregateFunction(quantilesTDigestIf(0.5, 0.95, 0.99), Int64, UInt8)
)
ENGINE = ${replicated}AggregatingMergeTree
PARTITION BY toYYYYMM(day)
ORDER BY (tenant, day, route, model, role, kafka_partition)
SETTINGS non_replicated_deduplication_window = 10000;

CREATE MATERIALIZED VIEW IF NOT EXISTS quality_by_day_view TO quality_by_day AS
SELECT
    r.tenant AS tenant,
    toDate(r.finished_at) AS day,
    r.route_policy AS route,
    ifNull(r.model, '') AS model,
    r.role AS role,
    r.kafka_partition AS kafka_partition,
    count() AS outcomes,
    countIf(r.outcome = 'ok') AS ok,
    countIf(r.outcome = 'error') AS errors,
    countIf(r.outcome = 'ok' AND r.attempts > 1) AS failed_over,
    countIf(r.finish_reason = 'length') AS cut_short,
    countIf(r.finish_reason = 'content_filter') AS filtered,
    countIf(r.cached != 'none') AS from_cache,
    quantilesTDigestIfState(0.5, 0.95, 0.99)(ifNull(r.timings_ms_total, 0), r.timings_ms_total IS NOT NULL) AS total
FROM responses AS r
GROUP BY tenant, day, route, model, role, kafka_partition;

-- What callers saw, by ten minutes: `first_token`, `total`, `added` are states of quantilesTDigest(0.5, 0.95, 0.99), in ms.
CREATE TABLE IF NOT EXISTS traffic_by_10_minutes
(
    bucket DateTime('UTC') CODEC(Delta(4), ZSTD(1)),
    tenant LowCardinality(String),
    kafka_partition UInt16,
    requests SimpleAggregateFunction(sum, UInt64),
    errors SimpleAggregateFunction(sum, UInt64),
    first_token AggregateFunction(quantilesTDigestIf(0.5, 0.95, 0.99), Int64, UInt8),
    total AggregateFunction(quantilesTDigestIf(0.5, 0.95, 0.99), Int64, UInt8),
    added AggregateFunction(quantilesTDigestIf(0.5, 0.95, 0.99), Int64, UInt8)
)
ENGINE = ${replicated}AggregatingMergeTree
PARTITION BY toYYYYMM(bucket)
ORDER BY (bucket, tenant, kafka_partition)
TTL bucket + INTERVAL 400 DAY
SETTINGS ttl_only_drop_parts = 1, non_replicated_deduplication_window = 10000;

CREATE MATERIALIZED VIEW IF NOT EXISTS traffic_by_10_minutes_view TO traffic_by_10_minutes AS
SELECT
    toStartOfTenMinutes(r.finished_at) AS bucket,
    r.tenant AS tenant,
    r.kafka_partition AS kafka_partition,
    count() AS requests,
    countIf(r.outcome = 'error') AS errors,
    quantilesTDigestIfState(0.5, 0.95, 0.99)(ifNull(r.timings_ms_first_token, 0), r.timings_ms_first_token IS NOT NULL) AS first_token,
    quantilesTDigestIfState(0.5, 0.95, 0.99)(ifNull(r.timings_ms_total, 0), r.timings_ms_total IS NOT NULL) AS total,
    quantilesTDigestIfState(0.5, 0.95, 0.99)(
        ifNull(r.timings_ms_total - r.timings_ms_provider, 0),
        r.outcome = 'ok' AND r.attempts = 1 AND r.timings_ms_provider IS NOT NULL
    ) AS added
FROM responses AS r
WHERE r.role = 'primary'
GROUP BY bucket, tenant, kafka_partition;

-- What callers saw, by hour: `first_token`, `total`, `added` are states of quantilesTDigest(0.5, 0.95, 0.99), in ms.
CREATE TABLE IF NOT EXISTS traffic_by_hour
(
    bucket DateTime('UTC') CODEC(Delta(4), ZSTD(1)),
    tenant LowCardinality(String),
    kafka_partition UInt16,
    requests SimpleAggregateFunction(sum, UInt64),
    errors SimpleAggregateFunction(sum, UInt64),
    first_token AggregateFunction(quantilesTDigestIf(0.5, 0.95, 0.99), Int64, UInt8),
    total AggregateFunction(quantilesTDigestIf(0.5, 0.95, 0.99), Int64, UInt8),
    added AggregateFunction(quantilesTDigestIf(0.5, 0.95, 0.99), Int64, UInt8)
)
ENGINE = ${replicated}AggregatingMergeTree
PARTITION BY toYYYYMM(bucket)
ORDER BY (bucket, tenant, kafka_partition)
TTL bucket + INTERVAL 400 DAY
SETTINGS ttl_only_drop_parts = 1, non_replicated_deduplication_window = 10000;

CREATE MATERIALIZED VIEW IF NOT EXISTS traffic_by_hour_view TO traffic_by_hour AS
SELECT
    toStartOfHour(r.finished_at) AS bucket,
    r.tenant AS tenant,
    r.kafka_partition AS kafka_partition,
    count() AS requests,
    countIf(r.outcome = 'error') AS errors,
    quantilesTDigestIfState(0.5, 0.95, 0.99)(ifNull(r.timings_ms_first_token, 0), r.timings_ms_first_token IS NOT NULL) AS first_token,
    quantilesTDigestIfState(0.5, 0.95, 0.99)(ifNull(r.timings_ms_total, 0), r.timings_ms_total IS NOT NULL) AS total,
    quantilesTDigestIfState(0.5, 0.95, 0.99)(
        ifNull(r.timings_ms_total - r.timings_ms_provider, 0),
        r.outcome = 'ok' AND r.attempts = 1 AND r.timings_ms_provider IS NOT NULL
    ) AS added
FROM responses AS r
WHERE r.role = 'primary'
GROUP BY bucket, tenant, kafka_partition;

-- Who answered, by hour.
CREATE TABLE IF NOT EXISTS answers_by_hour
(
    bucket DateTime('UTC') CODEC(Delta(4), ZSTD(1)),
    tenant LowCardinality(String),
    provider LowCardinality(String),
    model LowCardinality(String),
    kafka_partition UInt16,
    requests SimpleAggregateFunction(sum, UInt64),
    failed_over SimpleAggregateFunction(sum, UInt64)
)
ENGINE = ${replicated}AggregatingMergeTree
PARTITION BY toYYYYMM(bucket)
ORDER BY (bucket, tenant, provider, model, kafka_partition)
TTL bucket + INTERVAL 400 DAY
SETTINGS ttl_only_drop_parts = 1, non_replicated_deduplication_window = 10000;

CREATE MATERIALIZED VIEW IF NOT EXISTS answers_by_hour_view TO answers_by_hour AS
SELECT
    toStartOfHour(r.finished_at) AS bucket,
    r.tenant AS tenant,
    ifNull(r.provider, '') AS provider,
    ifNull(r.model, '') AS model,
    r.kafka_partition AS kafka_partition,
    count() AS requests,
    countIf(r.attempts > 1) AS failed_over
FROM responses AS r
WHERE r.role = 'primary' AND r.outcome = 'ok'
GROUP BY bucket, tenant, provider, model, kafka_partition;
