-- The tables whose rows are records of one topic: a row per record, columns named as the fields of its event.
--
-- Columns follow `schemas/avro` (tested, see connectors/clickhouse/columns.py). The EPHEMERAL ones take in the fields of
-- optional records, under the name that the Avro input has for them, and are not stored. `replicated` is empty on one server
-- and in the embedded engine, `Replicated` in a cluster. The deduplication window makes a repeated insert of the same batch
-- harmless; what that does not cover is in docs/decisions/0008-exactly-once-into-clickhouse.md.

-- What was asked, with its features.
CREATE TABLE IF NOT EXISTS requests
(
    request_id String CODEC(ZSTD(1)),
    tenant LowCardinality(String) CODEC(ZSTD(1)),
    partition_key LowCardinality(String) CODEC(ZSTD(1)),
    model LowCardinality(String) CODEC(ZSTD(1)),
    operation LowCardinality(String) CODEC(ZSTD(1)),
    stream Bool CODEC(ZSTD(1)),
    priority LowCardinality(String) CODEC(ZSTD(1)),
    accepted_at DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)),
    deadline_at DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)),
    features_input_tokens Int64 CODEC(T64, ZSTD(1)),
    features_language LowCardinality(String) CODEC(ZSTD(1)),
    features_task LowCardinality(String) CODEC(ZSTD(1)),
    features_complexity Float64 CODEC(ZSTD(1)),
    features_band LowCardinality(String) CODEC(ZSTD(1)),
    features_sensitivity LowCardinality(String) CODEC(ZSTD(1)),
    features_needs Array(String) CODEC(ZSTD(1)),
    features_findings Array(String) CODEC(ZSTD(1)),
    features_domains Map(LowCardinality(String), Float64) CODEC(ZSTD(1)),
    features_classifier_version LowCardinality(String) CODEC(ZSTD(1)),
    body Nullable(String) CODEC(ZSTD(3)),
    body_ref_topic LowCardinality(Nullable(String)) DEFAULT `body_ref.Ref.topic` CODEC(ZSTD(1)),
    body_ref_partition Nullable(Int64) DEFAULT `body_ref.Ref.partition` CODEC(T64, ZSTD(1)),
    body_ref_offset Nullable(Int64) DEFAULT `body_ref.Ref.offset` CODEC(T64, ZSTD(1)),
    max_tokens Nullable(Int64) CODEC(T64, ZSTD(1)),
    user Nullable(String) CODEC(ZSTD(1)),
    key_id Nullable(String) CODEC(ZSTD(1)),
    conversation_id Nullable(String) CODEC(ZSTD(1)),
    idempotent Bool CODEC(ZSTD(1)),
    fingerprint String CODEC(ZSTD(1)),
    tags Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    role LowCardinality(String) CODEC(ZSTD(1)),
    kafka_partition UInt16 CODEC(T64, ZSTD(1)),
    kafka_offset UInt64 CODEC(Delta(8), ZSTD(1)),
    retention_days UInt16 CODEC(ZSTD(1)),
    `body_ref.Ref.topic` Nullable(String) EPHEMERAL,
    `body_ref.Ref.partition` Nullable(Int64) EPHEMERAL,
    `body_ref.Ref.offset` Nullable(Int64) EPHEMERAL,
    INDEX request_id_index request_id TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX conversation_id_index conversation_id TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX offset_index kafka_offset TYPE minmax GRANULARITY 1,
    INDEX time_index accepted_at TYPE minmax GRANULARITY 1
)
ENGINE = ${replicated}MergeTree
PARTITION BY (retention_days, toMonday(accepted_at))
ORDER BY (tenant, accepted_at)
TTL toDateTime(accepted_at) + toIntervalDay(retention_days)
SETTINGS ttl_only_drop_parts = 1, non_replicated_deduplication_window = 10000;

-- Every phase of every call.
CREATE TABLE IF NOT EXISTS attempts
(
    request_id String CODEC(ZSTD(1)),
    tenant LowCardinality(String) CODEC(ZSTD(1)),
    attempt Int64 CODEC(T64, ZSTD(1)),
    attempt_id String CODEC(ZSTD(1)),
    phase LowCardinality(String) CODEC(ZSTD(1)),
    role LowCardinality(String) CODEC(ZSTD(1)),
    provider LowCardinality(String) CODEC(ZSTD(1)),
    model LowCardinality(String) CODEC(ZSTD(1)),
    region LowCardinality(String) CODEC(ZSTD(1)),
    worker LowCardinality(String) CODEC(ZSTD(1)),
    started_at DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)),
    result LowCardinality(Nullable(String)) CODEC(ZSTD(1)),
    error_kind LowCardinality(Nullable(String)) DEFAULT `error.AttemptError.kind` CODEC(ZSTD(1)),
    error_status Nullable(Int64) DEFAULT `error.AttemptError.status` CODEC(T64, ZSTD(1)),
    error_code LowCardinality(Nullable(String)) DEFAULT `error.AttemptError.code` CODEC(ZSTD(1)),
    error_message Nullable(String) DEFAULT `error.AttemptError.message` CODEC(ZSTD(1)),
    error_retry_after_s Nullable(Float64) DEFAULT `error.AttemptError.retry_after_s` CODEC(ZSTD(1)),
    first_event_ms Nullable(Int64) CODEC(T64, ZSTD(1)),
    duration_ms Nullable(Int64) CODEC(T64, ZSTD(1)),
    finish_reason LowCardinality(Nullable(String)) CODEC(ZSTD(1)),
    usage_input_tokens Nullable(Int64) DEFAULT `usage.Usage.input_tokens` CODEC(T64, ZSTD(1)),
    usage_output_tokens Nullable(Int64) DEFAULT `usage.Usage.output_tokens` CODEC(T64, ZSTD(1)),
    usage_cache_read_tokens Nullable(Int64) DEFAULT `usage.Usage.cache_read_tokens` CODEC(T64, ZSTD(1)),
    usage_cache_write_tokens Nullable(Int64) DEFAULT `usage.Usage.cache_write_tokens` CODEC(T64, ZSTD(1)),
    usage_reasoning_tokens Nullable(Int64) DEFAULT `usage.Usage.reasoning_tokens` CODEC(T64, ZSTD(1)),
    usage_estimated Nullable(Bool) DEFAULT `usage.Usage.estimated` CODEC(ZSTD(1)),
    usage_cache_write_1h_tokens Nullable(Int64) DEFAULT `usage.Usage.cache_write_1h_tokens` CODEC(T64, ZSTD(1)),
    usage_service_tier LowCardinality(Nullable(String)) DEFAULT `usage.Usage.service_tier` CODEC(ZSTD(1)),
    response_topic LowCardinality(Nullable(String)) DEFAULT `response.Ref.topic` CODEC(ZSTD(1)),
    response_partition Nullable(Int64) DEFAULT `response.Ref.partition` CODEC(T64, ZSTD(1)),
    response_offset Nullable(Int64) DEFAULT `response.Ref.offset` CODEC(T64, ZSTD(1)),
    orphaned Bool CODEC(ZSTD(1)),
    streamed Bool CODEC(ZSTD(1)),
    finished_at Nullable(DateTime64(3, 'UTC')) CODEC(Delta(8), ZSTD(1)),
    user Nullable(String) CODEC(ZSTD(1)),
    key_id Nullable(String) CODEC(ZSTD(1)),
    tags Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    price_version LowCardinality(Nullable(String)) DEFAULT `price.Price.version` CODEC(ZSTD(1)),
    price_input_nano_usd_per_mtok Nullable(Int64) DEFAULT `price.Price.input_nano_usd_per_mtok` CODEC(T64, ZSTD(1)),
    price_cached_input_nano_usd_per_mtok Nullable(Int64) DEFAULT `price.Price.cached_input_nano_usd_per_mtok` CODEC(T64, ZSTD(1)),
    price_output_nano_usd_per_mtok Nullable(Int64) DEFAULT `price.Price.output_nano_usd_per_mtok` CODEC(T64, ZSTD(1)),
    price_cache_write_nano_usd_per_mtok Nullable(Int64) DEFAULT `price.Price.cache_write_nano_usd_per_mtok` CODEC(T64, ZSTD(1)),
    price_cache_write_1h_nano_usd_per_mtok Nullable(Int64) DEFAULT `price.Price.cache_write_1h_nano_usd_per_mtok` CODEC(T64, ZSTD(1)),
    price_tiers Map(LowCardinality(String), Tuple(input_nano_usd_per_mtok Int64, cached_input_nano_usd_per_mtok Int64, output_nano_usd_per_mtok Int64, cache_write_nano_usd_per_mtok Nullable(Int64), cache_write_1h_nano_usd_per_mtok Nullable(Int64))) DEFAULT `price.Price.tiers` CODEC(ZSTD(1)),
    accepted_at Nullable(DateTime64(3, 'UTC')) CODEC(Delta(8), ZSTD(1)),
    kafka_partition UInt16 CODEC(T64, ZSTD(1)),
    kafka_offset UInt64 CODEC(Delta(8), ZSTD(1)),
    retention_days UInt16 CODEC(ZSTD(1)),
    `error.AttemptError.kind` Nullable(String) EPHEMERAL,
    `error.AttemptError.status` Nullable(Int64) EPHEMERAL,
    `error.AttemptError.code` Nullable(String) EPHEMERAL,
    `error.AttemptError.message` Nullable(String) EPHEMERAL,
    `error.AttemptError.retry_after_s` Nullable(Float64) EPHEMERAL,
    `usage.Usage.input_tokens` Nullable(Int64) EPHEMERAL,
    `usage.Usage.output_tokens` Nullable(Int64) EPHEMERAL,
    `usage.Usage.cache_read_tokens` Nullable(Int64) EPHEMERAL,
    `usage.Usage.cache_write_tokens` Nullable(Int64) EPHEMERAL,
    `usage.Usage.reasoning_tokens` Nullable(Int64) EPHEMERAL,
    `usage.Usage.estimated` Nullable(Bool) EPHEMERAL,
    `usage.Usage.cache_write_1h_tokens` Nullable(Int64) EPHEMERAL,
    `usage.Usage.service_tier` Nullable(String) EPHEMERAL,
    `response.Ref.topic` Nullable(String) EPHEMERAL,
    `response.Ref.partition` Nullable(Int64) EPHEMERAL,
    `response.Ref.offset` Nullable(Int64) EPHEMERAL,
    `price.Price.version` Nullable(String) EPHEMERAL,
    `price.Price.input_nano_usd_per_mtok` Nullable(Int64) EPHEMERAL,
    `price.Price.cached_input_nano_usd_per_mtok` Nullable(Int64) EPHEMERAL,
    `price.Price.output_nano_usd_per_mtok` Nullable(Int64) EPHEMERAL,
    `price.Price.cache_write_nano_usd_per_mtok` Nullable(Int64) EPHEMERAL,
    `price.Price.cache_write_1h_nano_usd_per_mtok` Nullable(Int64) EPHEMERAL,
    `price.Price.tiers` Map(String, Tuple(input_nano_usd_per_mtok Int64, cached_input_nano_usd_per_mtok Int64, output_nano_usd_per_mtok Int64, cache_write_nano_usd_per_mtok Nullable(Int64), cache_write_1h_nano_usd_per_mtok Nullable(Int64))) EPHEMERAL,
    INDEX request_id_index request_id TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX offset_index kafka_offset TYPE minmax GRANULARITY 1,
    INDEX time_index started_at TYPE minmax GRANULARITY 1
)
ENGINE = ${replicated}MergeTree
PARTITION BY (retention_days, toMonday(started_at))
ORDER BY (provider, model, started_at)
TTL toDateTime(started_at) + toIntervalDay(retention_days)
SETTINGS ttl_only_drop_parts = 1, non_replicated_deduplication_window = 10000;

-- Every record that claims to be an outcome; the view `outcomes` has the first.
CREATE TABLE IF NOT EXISTS responses
(
    request_id String CODEC(ZSTD(1)),
    tenant LowCardinality(String) CODEC(ZSTD(1)),
    operation LowCardinality(String) CODEC(ZSTD(1)),
    outcome LowCardinality(String) CODEC(ZSTD(1)),
    accepted_at DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)),
    finished_at DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)),
    route_policy LowCardinality(String) CODEC(ZSTD(1)),
    route_reason LowCardinality(String) CODEC(ZSTD(1)),
    route_propensity Float64 CODEC(ZSTD(1)),
    route_alternatives Array(String) CODEC(ZSTD(1)),
    route_excluded Array(String) CODEC(ZSTD(1)),
    timings_ms_queue Nullable(Int64) CODEC(T64, ZSTD(1)),
    timings_ms_first_token Nullable(Int64) CODEC(T64, ZSTD(1)),
    timings_ms_provider Nullable(Int64) CODEC(T64, ZSTD(1)),
    timings_ms_total Nullable(Int64) CODEC(T64, ZSTD(1)),
    user Nullable(String) CODEC(ZSTD(1)),
    conversation_id Nullable(String) CODEC(ZSTD(1)),
    error_code LowCardinality(Nullable(String)) DEFAULT `error.Outcome.code` CODEC(ZSTD(1)),
    error_message Nullable(String) DEFAULT `error.Outcome.message` CODEC(ZSTD(1)),
    error_kind LowCardinality(Nullable(String)) DEFAULT `error.Outcome.kind` CODEC(ZSTD(1)),
    error_retry_after_s Nullable(Float64) DEFAULT `error.Outcome.retry_after_s` CODEC(ZSTD(1)),
    body Nullable(String) CODEC(ZSTD(3)),
    provider LowCardinality(Nullable(String)) CODEC(ZSTD(1)),
    model LowCardinality(Nullable(String)) CODEC(ZSTD(1)),
    region LowCardinality(Nullable(String)) CODEC(ZSTD(1)),
    usage_input_tokens Nullable(Int64) DEFAULT `usage.Usage.input_tokens` CODEC(T64, ZSTD(1)),
    usage_output_tokens Nullable(Int64) DEFAULT `usage.Usage.output_tokens` CODEC(T64, ZSTD(1)),
    usage_cache_read_tokens Nullable(Int64) DEFAULT `usage.Usage.cache_read_tokens` CODEC(T64, ZSTD(1)),
    usage_cache_write_tokens Nullable(Int64) DEFAULT `usage.Usage.cache_write_tokens` CODEC(T64, ZSTD(1)),
    usage_reasoning_tokens Nullable(Int64) DEFAULT `usage.Usage.reasoning_tokens` CODEC(T64, ZSTD(1)),
    usage_estimated Nullable(Bool) DEFAULT `usage.Usage.estimated` CODEC(ZSTD(1)),
    usage_cache_write_1h_tokens Nullable(Int64) DEFAULT `usage.Usage.cache_write_1h_tokens` CODEC(T64, ZSTD(1)),
    usage_service_tier LowCardinality(Nullable(String)) DEFAULT `usage.Usage.service_tier` CODEC(ZSTD(1)),
    finish_reason LowCardinality(Nullable(String)) CODEC(ZSTD(1)),
    cost_nano_usd Int64 CODEC(T64, ZSTD(1)),
    attempts Int64 CODEC(T64, ZSTD(1)),
    cached LowCardinality(String) CODEC(ZSTD(1)),
    role LowCardinality(String) CODEC(ZSTD(1)),
    tags Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    dropped Array(String) CODEC(ZSTD(1)),
    attempt_usage_input_tokens Nullable(Int64) DEFAULT `attempt_usage.Usage.input_tokens` CODEC(T64, ZSTD(1)),
    attempt_usage_output_tokens Nullable(Int64) DEFAULT `attempt_usage.Usage.output_tokens` CODEC(T64, ZSTD(1)),
    attempt_usage_cache_read_tokens Nullable(Int64) DEFAULT `attempt_usage.Usage.cache_read_tokens` CODEC(T64, ZSTD(1)),
    attempt_usage_cache_write_tokens Nullable(Int64) DEFAULT `attempt_usage.Usage.cache_write_tokens` CODEC(T64, ZSTD(1)),
    attempt_usage_reasoning_tokens Nullable(Int64) DEFAULT `attempt_usage.Usage.reasoning_tokens` CODEC(T64, ZSTD(1)),
    attempt_usage_estimated Nullable(Bool) DEFAULT `attempt_usage.Usage.estimated` CODEC(ZSTD(1)),
    attempt_usage_cache_write_1h_tokens Nullable(Int64) DEFAULT `attempt_usage.Usage.cache_write_1h_tokens` CODEC(T64, ZSTD(1)),
    attempt_usage_service_tier LowCardinality(Nullable(String)) DEFAULT `attempt_usage.Usage.service_tier` CODEC(ZSTD(1)),
    kafka_partition UInt16 CODEC(T64, ZSTD(1)),
    kafka_offset UInt64 CODEC(Delta(8), ZSTD(1)),
    retention_days UInt16 CODEC(ZSTD(1)),
    `error.Outcome.code` Nullable(String) EPHEMERAL,
    `error.Outcome.message` Nullable(String) EPHEMERAL,
    `error.Outcome.kind` Nullable(String) EPHEMERAL,
    `error.Outcome.retry_after_s` Nullable(Float64) EPHEMERAL,
    `usage.Usage.input_tokens` Nullable(Int64) EPHEMERAL,
    `usage.Usage.output_tokens` Nullable(Int64) EPHEMERAL,
    `usage.Usage.cache_read_tokens` Nullable(Int64) EPHEMERAL,
    `usage.Usage.cache_write_tokens` Nullable(Int64) EPHEMERAL,
    `usage.Usage.reasoning_tokens` Nullable(Int64) EPHEMERAL,
    `usage.Usage.estimated` Nullable(Bool) EPHEMERAL,
    `usage.Usage.cache_write_1h_tokens` Nullable(Int64) EPHEMERAL,
    `usage.Usage.service_tier` Nullable(String) EPHEMERAL,
    `attempt_usage.Usage.input_tokens` Nullable(Int64) EPHEMERAL,
    `attempt_usage.Usage.output_tokens` Nullable(Int64) EPHEMERAL,
    `attempt_usage.Usage.cache_read_tokens` Nullable(Int64) EPHEMERAL,
    `attempt_usage.Usage.cache_write_tokens` Nullable(Int64) EPHEMERAL,
    `attempt_usage.Usage.reasoning_tokens` Nullable(Int64) EPHEMERAL,
    `attempt_usage.Usage.estimated` Nullable(Bool) EPHEMERAL,
    `attempt_usage.Usage.cache_write_1h_tokens` Nullable(Int64) EPHEMERAL,
    `attempt_usage.Usage.service_tier` Nullable(String) EPHEMERAL,
    INDEX request_id_index request_id TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX conversation_id_index conversation_id TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX offset_index kafka_offset TYPE minmax GRANULARITY 1,
    INDEX time_index finished_at TYPE minmax GRANULARITY 1
)
ENGINE = ${replicated}MergeTree
PARTITION BY (retention_days, toMonday(finished_at))
ORDER BY (tenant, finished_at)
TTL toDateTime(finished_at) + toIntervalDay(retention_days)
SETTINGS ttl_only_drop_parts = 1, non_replicated_deduplication_window = 10000;

-- The ledger, kept for ever.
CREATE TABLE IF NOT EXISTS costs
(
    cost_id String CODEC(ZSTD(1)),
    request_id String CODEC(ZSTD(1)),
    attempt Int64 CODEC(T64, ZSTD(1)),
    attempt_id String CODEC(ZSTD(1)),
    tenant LowCardinality(String) CODEC(ZSTD(1)),
    user Nullable(String) CODEC(ZSTD(1)),
    key_id Nullable(String) CODEC(ZSTD(1)),
    tags Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    provider LowCardinality(String) CODEC(ZSTD(1)),
    model LowCardinality(String) CODEC(ZSTD(1)),
    role LowCardinality(String) CODEC(ZSTD(1)),
    usage_input_tokens Int64 CODEC(T64, ZSTD(1)),
    usage_output_tokens Int64 CODEC(T64, ZSTD(1)),
    usage_cache_read_tokens Int64 CODEC(T64, ZSTD(1)),
    usage_cache_write_tokens Int64 CODEC(T64, ZSTD(1)),
    usage_reasoning_tokens Int64 CODEC(T64, ZSTD(1)),
    usage_estimated Bool CODEC(ZSTD(1)),
    usage_cache_write_1h_tokens Int64 CODEC(T64, ZSTD(1)),
    usage_service_tier LowCardinality(Nullable(String)) CODEC(ZSTD(1)),
    cost_nano_usd Int64 CODEC(T64, ZSTD(1)),
    price_version LowCardinality(String) CODEC(ZSTD(1)),
    estimated Bool CODEC(ZSTD(1)),
    effective Bool CODEC(ZSTD(1)),
    kind LowCardinality(String) CODEC(ZSTD(1)),
    at DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)),
    accepted_at Nullable(DateTime64(3, 'UTC')) CODEC(Delta(8), ZSTD(1)),
    kafka_partition UInt16 CODEC(T64, ZSTD(1)),
    kafka_offset UInt64 CODEC(Delta(8), ZSTD(1)),
    INDEX request_id_index request_id TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX offset_index kafka_offset TYPE minmax GRANULARITY 1,
    INDEX time_index at TYPE minmax GRANULARITY 1
)
ENGINE = ${replicated}MergeTree
PARTITION BY toYYYYMM(at)
ORDER BY (tenant, at)
SETTINGS non_replicated_deduplication_window = 10000;

-- Every choice of a model with its reasons.
CREATE TABLE IF NOT EXISTS decisions
(
    request_id String CODEC(ZSTD(1)),
    tenant LowCardinality(String) CODEC(ZSTD(1)),
    attempt Int64 CODEC(T64, ZSTD(1)),
    cause LowCardinality(String) CODEC(ZSTD(1)),
    policy_version LowCardinality(String) CODEC(ZSTD(1)),
    profile_version LowCardinality(String) CODEC(ZSTD(1)),
    classifier_version LowCardinality(String) CODEC(ZSTD(1)),
    seed Int64 CODEC(T64, ZSTD(1)),
    decided_at DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)),
    reason LowCardinality(String) CODEC(ZSTD(1)),
    proof_sensitivity LowCardinality(String) CODEC(ZSTD(1)),
    proof_regions Array(String) CODEC(ZSTD(1)),
    proof_terms Array(String) CODEC(ZSTD(1)),
    chosen LowCardinality(String) CODEC(ZSTD(1)),
    error_code LowCardinality(Nullable(String)) CODEC(ZSTD(1)),
    view Map(LowCardinality(String), Tuple(in_flight Int64, breaker String, first_event_ms Nullable(Int64), limited_until Nullable(DateTime64(3, 'UTC')), open_until Nullable(DateTime64(3, 'UTC')), allowed_in_flight Nullable(Int64), hesitant Bool)) CODEC(ZSTD(1)),
    ranked Array(Tuple(model String, score Float64, quality Float64, cents Float64, latency_s Float64, propensity Float64)) CODEC(ZSTD(1)),
    excluded Array(Tuple(model String, step String, reason String)) CODEC(ZSTD(1)),
    arm LowCardinality(Nullable(String)) CODEC(ZSTD(1)),
    retry_at Nullable(DateTime64(3, 'UTC')) CODEC(Delta(8), ZSTD(1)),
    kafka_partition UInt16 CODEC(T64, ZSTD(1)),
    kafka_offset UInt64 CODEC(Delta(8), ZSTD(1)),
    retention_days UInt16 CODEC(ZSTD(1)),
    INDEX request_id_index request_id TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX offset_index kafka_offset TYPE minmax GRANULARITY 1,
    INDEX time_index decided_at TYPE minmax GRANULARITY 1
)
ENGINE = ${replicated}MergeTree
PARTITION BY (retention_days, toMonday(decided_at))
ORDER BY (tenant, decided_at)
TTL toDateTime(decided_at) + toIntervalDay(retention_days)
SETTINGS ttl_only_drop_parts = 1, non_replicated_deduplication_window = 10000;

-- When endpoints went out and came back.
CREATE TABLE IF NOT EXISTS breaker_transitions
(
    endpoint LowCardinality(String) CODEC(ZSTD(1)),
    state LowCardinality(String) CODEC(ZSTD(1)),
    epoch Int64 CODEC(T64, ZSTD(1)),
    since DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)),
    at DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)),
    open_until Nullable(DateTime64(3, 'UTC')) CODEC(Delta(8), ZSTD(1)),
    opened_count Int64 CODEC(T64, ZSTD(1)),
    limited_until Nullable(DateTime64(3, 'UTC')) CODEC(Delta(8), ZSTD(1)),
    allowed_in_flight Nullable(Int64) CODEC(T64, ZSTD(1)),
    cause LowCardinality(String) CODEC(ZSTD(1)),
    last_error LowCardinality(Nullable(String)) CODEC(ZSTD(1)),
    forced Bool CODEC(ZSTD(1)),
    probe_until Nullable(DateTime64(3, 'UTC')) CODEC(Delta(8), ZSTD(1)),
    hesitant Bool CODEC(ZSTD(1)),
    kafka_partition UInt16 CODEC(T64, ZSTD(1)),
    kafka_offset UInt64 CODEC(Delta(8), ZSTD(1)),
    INDEX offset_index kafka_offset TYPE minmax GRANULARITY 1,
    INDEX time_index at TYPE minmax GRANULARITY 1
)
ENGINE = ${replicated}MergeTree
PARTITION BY toYYYYMM(at)
ORDER BY (endpoint, at)
TTL toDateTime(at) + INTERVAL 400 DAY
SETTINGS ttl_only_drop_parts = 1, non_replicated_deduplication_window = 10000;
