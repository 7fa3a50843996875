-- Views that apply the rules of readers: the first record counts.

-- The outcome of a request: the first record per (tenant, request) in its partition.
CREATE VIEW IF NOT EXISTS outcomes AS
SELECT * FROM responses
ORDER BY kafka_partition, kafka_offset
LIMIT 1 BY tenant, request_id;

-- The ledger without repetitions: a line that was booked twice has the same id.
CREATE VIEW IF NOT EXISTS ledger AS
SELECT * FROM costs
ORDER BY kafka_partition, kafka_offset
LIMIT 1 BY tenant, cost_id;

-- Calls to providers as OpenTelemetry GenAI spans (semantic conventions 1.42, `development`): the first end per attempt.
CREATE VIEW IF NOT EXISTS otel_spans AS
WITH if(a.result = 'ok' AND isNull(a.finish_reason), 'embeddings', 'chat') AS operation -- attempts do not say; only chats finish
SELECT
    concat(operation, ' ', a.model) AS `span.name`,
    a.attempt_id AS `span.id`,
    a.started_at AS `span.start`,
    a.duration_ms AS `span.duration_ms`,
    if(a.result = 'error', 'ERROR', 'OK') AS `span.status`,
    operation AS `gen_ai.operation.name`,
    a.provider AS `gen_ai.provider.name`,
    a.model AS `gen_ai.request.model`,
    a.model AS `gen_ai.response.model`,
    a.streamed AS `gen_ai.request.stream`,
    if(isNull(a.finish_reason), [], [assumeNotNull(a.finish_reason)]) AS `gen_ai.response.finish_reasons`,
    a.first_event_ms / 1000 AS `gen_ai.response.time_to_first_chunk`,
    a.usage_input_tokens AS `gen_ai.usage.input_tokens`,
    a.usage_output_tokens AS `gen_ai.usage.output_tokens`,
    a.usage_cache_read_tokens AS `gen_ai.usage.cache_read.input_tokens`,
    a.usage_cache_write_tokens AS `gen_ai.usage.cache_creation.input_tokens`,
    a.usage_reasoning_tokens AS `gen_ai.usage.reasoning.output_tokens`,
    a.error_kind AS `error.type`,
    a.tenant AS `millrace.tenant`,
    a.request_id AS `millrace.request_id`,
    a.attempt AS `millrace.attempt`,
    a.role AS `millrace.role`
FROM attempts AS a
WHERE a.phase = 'finished'
ORDER BY a.kafka_partition, a.kafka_offset
LIMIT 1 BY a.attempt_id;
