-- An experiment in figures, over its pairs; agreement and differences (shadow less primary) over pairs where both answered.
-- {experiment:String} {from_ms:Int64} {to_ms:Int64}
WITH
    status = 'compared' AS is_pair,
    ifNull(is_pair AND primary_outcome = 'ok' AND shadow_outcome = 'ok', false) AS is_answered
SELECT
    countIf(is_pair) AS pairs,
    countIf(is_answered) AS answered,
    sumMapIf(map(ifNull(reason, 'unknown'), toUInt64(1)), NOT is_pair) AS skipped,

    avgIf(toFloat64(exact), is_answered) AS exact,
    avgIf(token_f1, is_answered) AS token_f1,
    avgIf(toFloat64(json_equal), is_answered) AS json_equal,
    avgIf(toFloat64(tool_calls_equal), is_answered) AS tool_calls_equal,
    avgIf(toFloat64(normalised), is_answered) AS normalised,
    avgIf(length_ratio, is_answered) AS length_ratio,

    countIf(is_pair AND winner = 'shadow') AS wins,
    countIf(is_pair AND winner = 'tie') AS ties,
    countIf(is_pair AND winner = 'primary') AS losses,
    maxIf(judge, is_pair) AS judge,
    sum(judge_cost_nano_usd) AS judge_cost_nano_usd,

    sumMapIf(map(ifNull(primary_model, ''), toUInt64(1)), is_pair) AS primary_models,
    countIf(is_pair AND primary_outcome != 'ok') AS primary_errors,
    countIf(is_pair AND primary_is_refusal) AS primary_refusals,
    sumIf(primary_cost_nano_usd, is_pair) AS primary_cost_nano_usd,
    quantilesExactIf(0.5, 0.95)(assumeNotNull(primary_first_token_ms), is_pair AND isNotNull(primary_first_token_ms)) AS primary_first_token_ms,
    quantilesExactIf(0.5, 0.95)(assumeNotNull(primary_total_ms), is_pair AND isNotNull(primary_total_ms)) AS primary_total_ms,
    countIf(is_pair AND isNotNull(primary_first_token_ms)) AS primary_first_token_ms_count,
    countIf(is_pair AND isNotNull(primary_total_ms)) AS primary_total_ms_count,

    sumMapIf(map(ifNull(shadow_model, ''), toUInt64(1)), is_pair) AS shadow_models,
    countIf(is_pair AND shadow_outcome != 'ok') AS shadow_errors,
    countIf(is_pair AND shadow_is_refusal) AS shadow_refusals,
    sumIf(shadow_cost_nano_usd, is_pair) AS shadow_cost_nano_usd,
    quantilesExactIf(0.5, 0.95)(assumeNotNull(shadow_first_token_ms), is_pair AND isNotNull(shadow_first_token_ms)) AS shadow_first_token_ms,
    quantilesExactIf(0.5, 0.95)(assumeNotNull(shadow_total_ms), is_pair AND isNotNull(shadow_total_ms)) AS shadow_total_ms,
    countIf(is_pair AND isNotNull(shadow_first_token_ms)) AS shadow_first_token_ms_count,
    countIf(is_pair AND isNotNull(shadow_total_ms)) AS shadow_total_ms_count,

    avgIf(primary_cost_nano_usd, is_answered) AS answered_cost_nano_usd,
    countIf(is_answered AND isNotNull(shadow_cost_nano_usd - primary_cost_nano_usd)) AS cost_nano_usd_count,
    avgIf(shadow_cost_nano_usd - primary_cost_nano_usd, is_answered) AS cost_nano_usd_mean,
    varPopStableIf(shadow_cost_nano_usd - primary_cost_nano_usd, is_answered) AS cost_nano_usd_variance,
    countIf(is_answered AND isNotNull(shadow_first_token_ms - primary_first_token_ms)) AS first_token_ms_count,
    avgIf(shadow_first_token_ms - primary_first_token_ms, is_answered) AS first_token_ms_mean,
    varPopStableIf(shadow_first_token_ms - primary_first_token_ms, is_answered) AS first_token_ms_variance,
    countIf(is_answered AND isNotNull(shadow_total_ms - primary_total_ms)) AS total_ms_count,
    avgIf(shadow_total_ms - primary_total_ms, is_answered) AS total_ms_mean,
    varPopStableIf(shadow_total_ms - primary_total_ms, is_answered) AS total_ms_variance
FROM
(
    SELECT *
    FROM shadow_comparisons
    WHERE experiment = {experiment:String}
        AND accepted_at >= fromUnixTimestamp64Milli({from_ms:Int64}, 'UTC') AND accepted_at < fromUnixTimestamp64Milli({to_ms:Int64}, 'UTC')
    ORDER BY kafka_partition, kafka_offset
    LIMIT 1 BY tenant, request_id
)
