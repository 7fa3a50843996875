-- Dead letters, alerts, and the tables of events that have no writer yet.

-- What could not be processed. `value` only for tenants that let bodies be stored.
CREATE TABLE IF NOT EXISTS dead_letters
(
    at DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)),
    stage LowCardinality(String) CODEC(ZSTD(1)),
    reason LowCardinality(String) CODEC(ZSTD(1)),
    error String CODEC(ZSTD(1)),
    topic LowCardinality(String) CODEC(ZSTD(1)),
    partition Int64 CODEC(T64, ZSTD(1)),
    offset Int64 CODEC(T64, ZSTD(1)),
    request_id String CODEC(ZSTD(1)),
    tenant LowCardinality(String) CODEC(ZSTD(1)),
    schema LowCardinality(String) CODEC(ZSTD(1)),
    value_bytes Int64 CODEC(T64, ZSTD(1)),
    value Nullable(String) CODEC(ZSTD(3)),
    kafka_partition UInt16 CODEC(T64, ZSTD(1)),
    kafka_offset UInt64 CODEC(Delta(8), ZSTD(1)),
    retention_days UInt16 CODEC(ZSTD(1)),
    INDEX request_id_index request_id TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX offset_index kafka_offset TYPE minmax GRANULARITY 1
)
ENGINE = ${replicated}MergeTree
PARTITION BY (retention_days, toMonday(at))
ORDER BY at
TTL toDateTime(at) + toIntervalDay(retention_days)
SETTINGS ttl_only_drop_parts = 1, non_replicated_deduplication_window = 10000;

-- One mirrored request: what the primary and the shadow answered.
CREATE TABLE IF NOT EXISTS shadow_comparisons
(
    experiment LowCardinality(String) CODEC(ZSTD(1)),
    request_id String CODEC(ZSTD(1)),
    tenant LowCardinality(String) CODEC(ZSTD(1)),
    status LowCardinality(String) CODEC(ZSTD(1)),
    reason LowCardinality(Nullable(String)) CODEC(ZSTD(1)),
    primary_model LowCardinality(Nullable(String)) CODEC(ZSTD(1)),
    primary_outcome LowCardinality(Nullable(String)) CODEC(ZSTD(1)),
    primary_cost_nano_usd Nullable(Int64) CODEC(T64, ZSTD(1)),
    primary_first_token_ms Nullable(Int64) CODEC(T64, ZSTD(1)),
    primary_total_ms Nullable(Int64) CODEC(T64, ZSTD(1)),
    shadow_model LowCardinality(Nullable(String)) CODEC(ZSTD(1)),
    shadow_outcome LowCardinality(Nullable(String)) CODEC(ZSTD(1)),
    shadow_cost_nano_usd Nullable(Int64) CODEC(T64, ZSTD(1)),
    shadow_first_token_ms Nullable(Int64) CODEC(T64, ZSTD(1)),
    shadow_total_ms Nullable(Int64) CODEC(T64, ZSTD(1)),
    exact Nullable(Bool) CODEC(ZSTD(1)),
    token_f1 Nullable(Float64) CODEC(ZSTD(1)),
    json_equal Nullable(Bool) CODEC(ZSTD(1)),
    tool_calls_equal Nullable(Bool) CODEC(ZSTD(1)),
    winner LowCardinality(Nullable(String)) CODEC(ZSTD(1)),
    at DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)),
    kafka_partition UInt16 CODEC(T64, ZSTD(1)),
    kafka_offset UInt64 CODEC(Delta(8), ZSTD(1)),
    retention_days UInt16 CODEC(ZSTD(1)),
    INDEX request_id_index request_id TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX offset_index kafka_offset TYPE minmax GRANULARITY 1
)
ENGINE = ${replicated}MergeTree
PARTITION BY (retention_days, toMonday(at))
ORDER BY (experiment, at)
TTL toDateTime(at) + toIntervalDay(retention_days)
SETTINGS ttl_only_drop_parts = 1, non_replicated_deduplication_window = 10000;

-- What people said of answers; the last word per (request, user) wins, so read it with FINAL.
CREATE TABLE IF NOT EXISTS feedback
(
    request_id String CODEC(ZSTD(1)),
    conversation_id String CODEC(ZSTD(1)),
    tenant LowCardinality(String) CODEC(ZSTD(1)),
    user String CODEC(ZSTD(1)),
    score Nullable(Float64) CODEC(ZSTD(1)),
    label LowCardinality(Nullable(String)) CODEC(ZSTD(1)),
    comment Nullable(String) CODEC(ZSTD(3)),
    edit Nullable(String) CODEC(ZSTD(3)),
    at DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)),
    kafka_partition UInt16 CODEC(T64, ZSTD(1)),
    kafka_offset UInt64 CODEC(Delta(8), ZSTD(1)),
    retention_days UInt16 CODEC(ZSTD(1)),
    INDEX offset_index kafka_offset TYPE minmax GRANULARITY 1
)
ENGINE = ${replicated}ReplacingMergeTree(kafka_offset)
ORDER BY (tenant, request_id, conversation_id, user)
TTL toDateTime(at) + toIntervalDay(retention_days)
SETTINGS non_replicated_deduplication_window = 10000;

-- When rules of the catalogue began and ceased to hold; both records of an episode have its alert_id.
CREATE TABLE IF NOT EXISTS alerts
(
    alert_id String CODEC(ZSTD(1)),
    name LowCardinality(String) CODEC(ZSTD(1)),
    state LowCardinality(String) CODEC(ZSTD(1)),
    term LowCardinality(String) CODEC(ZSTD(1)),
    operator LowCardinality(String) CODEC(ZSTD(1)),
    threshold Float64 CODEC(ZSTD(1)),
    value Float64 CODEC(ZSTD(1)),
    labels Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    since DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)),
    at DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)),
    catalog LowCardinality(String) CODEC(ZSTD(1)),
    to Array(String) CODEC(ZSTD(1)),
    kafka_partition UInt16 CODEC(T64, ZSTD(1)),
    kafka_offset UInt64 CODEC(Delta(8), ZSTD(1)),
    INDEX offset_index kafka_offset TYPE minmax GRANULARITY 1
)
ENGINE = ${replicated}MergeTree
PARTITION BY toYYYYMM(at)
ORDER BY (name, at)
TTL toDateTime(at) + INTERVAL 400 DAY
SETTINGS ttl_only_drop_parts = 1, non_replicated_deduplication_window = 10000;
