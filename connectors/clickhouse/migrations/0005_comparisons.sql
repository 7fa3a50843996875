-- Comparisons of experiments as their event has them; nothing wrote the table before.
DROP TABLE IF EXISTS shadow_comparisons;

-- What became of one sampled request of an experiment: what the primary and the shadow answered, or why it was skipped.
CREATE TABLE IF NOT EXISTS shadow_comparisons
(
    experiment LowCardinality(String) CODEC(ZSTD(1)),
    request_id String CODEC(ZSTD(1)),
    tenant LowCardinality(String) CODEC(ZSTD(1)),
    status LowCardinality(String) CODEC(ZSTD(1)),
    at DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)),
    accepted_at DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)),
    route LowCardinality(String) CODEC(ZSTD(1)),
    domain LowCardinality(String) CODEC(ZSTD(1)),
    band LowCardinality(String) CODEC(ZSTD(1)),
    reason LowCardinality(Nullable(String)) CODEC(ZSTD(1)),
    shadow_request_id Nullable(String) CODEC(ZSTD(1)),
    primary_model LowCardinality(Nullable(String)) DEFAULT `primary.Side.model` CODEC(ZSTD(1)),
    primary_outcome LowCardinality(Nullable(String)) DEFAULT `primary.Side.outcome` CODEC(ZSTD(1)),
    primary_cost_nano_usd Nullable(Int64) DEFAULT `primary.Side.cost_nano_usd` CODEC(T64, ZSTD(1)),
    primary_first_token_ms Nullable(Int64) DEFAULT `primary.Side.first_token_ms` CODEC(T64, ZSTD(1)),
    primary_total_ms Nullable(Int64) DEFAULT `primary.Side.total_ms` CODEC(T64, ZSTD(1)),
    primary_output_tokens Nullable(Int64) DEFAULT `primary.Side.output_tokens` CODEC(T64, ZSTD(1)),
    primary_is_refusal Nullable(Bool) DEFAULT `primary.Side.is_refusal` CODEC(ZSTD(1)),
    shadow_model LowCardinality(Nullable(String)) DEFAULT `shadow.Side.model` CODEC(ZSTD(1)),
    shadow_outcome LowCardinality(Nullable(String)) DEFAULT `shadow.Side.outcome` CODEC(ZSTD(1)),
    shadow_cost_nano_usd Nullable(Int64) DEFAULT `shadow.Side.cost_nano_usd` CODEC(T64, ZSTD(1)),
    shadow_first_token_ms Nullable(Int64) DEFAULT `shadow.Side.first_token_ms` CODEC(T64, ZSTD(1)),
    shadow_total_ms Nullable(Int64) DEFAULT `shadow.Side.total_ms` CODEC(T64, ZSTD(1)),
    shadow_output_tokens Nullable(Int64) DEFAULT `shadow.Side.output_tokens` CODEC(T64, ZSTD(1)),
    shadow_is_refusal Nullable(Bool) DEFAULT `shadow.Side.is_refusal` CODEC(ZSTD(1)),
    exact Nullable(Bool) CODEC(ZSTD(1)),
    normalised Nullable(Bool) CODEC(ZSTD(1)),
    token_f1 Nullable(Float64) CODEC(ZSTD(1)),
    json_equal Nullable(Bool) CODEC(ZSTD(1)),
    tool_calls_equal Nullable(Bool) CODEC(ZSTD(1)),
    length_ratio Nullable(Float64) CODEC(ZSTD(1)),
    judge LowCardinality(String) CODEC(ZSTD(1)),
    winner LowCardinality(Nullable(String)) CODEC(ZSTD(1)),
    judge_cost_nano_usd Int64 CODEC(T64, ZSTD(1)),
    kafka_partition UInt16 CODEC(T64, ZSTD(1)),
    kafka_offset UInt64 CODEC(Delta(8), ZSTD(1)),
    retention_days UInt16 CODEC(ZSTD(1)),
    `primary.Side.model` Nullable(String) EPHEMERAL,
    `primary.Side.outcome` Nullable(String) EPHEMERAL,
    `primary.Side.cost_nano_usd` Nullable(Int64) EPHEMERAL,
    `primary.Side.first_token_ms` Nullable(Int64) EPHEMERAL,
    `primary.Side.total_ms` Nullable(Int64) EPHEMERAL,
    `primary.Side.output_tokens` Nullable(Int64) EPHEMERAL,
    `primary.Side.is_refusal` Nullable(Bool) EPHEMERAL,
    `shadow.Side.model` Nullable(String) EPHEMERAL,
    `shadow.Side.outcome` Nullable(String) EPHEMERAL,
    `shadow.Side.cost_nano_usd` Nullable(Int64) EPHEMERAL,
    `shadow.Side.first_token_ms` Nullable(Int64) EPHEMERAL,
    `shadow.Side.total_ms` Nullable(Int64) EPHEMERAL,
    `shadow.Side.output_tokens` Nullable(Int64) EPHEMERAL,
    `shadow.Side.is_refusal` Nullable(Bool) EPHEMERAL,
    INDEX request_id_index request_id TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX offset_index kafka_offset TYPE minmax GRANULARITY 1
)
ENGINE = ${replicated}MergeTree
PARTITION BY (retention_days, toMonday(at))
ORDER BY (experiment, at)
TTL toDateTime(at) + toIntervalDay(retention_days)
SETTINGS ttl_only_drop_parts = 1, non_replicated_deduplication_window = 10000;
