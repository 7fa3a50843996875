-- An experiment in figures, over its pairs; agreement and differences (shadow less primary) over pairs where both answered.
-- {experiment:String} {from_ms:Int64} {to_ms:Int64}
WITH
    c.status = 'compared' AS is_pair,
    ifNull(is_pair AND c.primary_outcome = 'ok' AND c.shadow_outcome = 'ok', false) AS is_answered
SELECT
    countIf(is_pair) AS pairs,
    countIf(is_answered) AS answered,
    sumMapIf(map(ifNull(c.reason, 'unknown'), toUInt64(1)), NOT is_pair) AS skipped,

    avgIf(toFloat64(c.exact), is_answered) AS exact,
    avgIf(c.token_f1, is_answered) AS token_f1,
    avgIf(toFloat64(c.json_equal), is_answered) AS json_equal,
    avgIf(toFloat64(c.tool_calls_equal), is_answered) AS tool_calls_equal,
    avgIf(toFloat64(c.normalised), is_answered) AS normalised,
    avgIf(c.length_ratio, is_answered) AS length_ratio,

    countIf(is_pair AND c.winner = 'shadow') AS wins,
    countIf(is_pair AND c.winner = 'tie') AS ties,
    countIf(is_pair AND c.winner = 'primary') AS losses,
    maxIf(c.judge, is_pair) AS judge,
    sum(c.judge_cost_nano_usd) AS judge_cost_nano_usd,

    sumMapIf(map(ifNull(c.primary_model, ''), toUInt64(1)), is_pair) AS primary_models,
    countIf(is_pair AND c.primary_outcome != 'ok') AS primary_errors,
    countIf(is_pair AND c.primary_is_refusal) AS primary_refusals,
    sumIf(c.primary_cost_nano_usd, is_pair) AS primary_cost_nano_usd,
    quantilesExactIf(0.5, 0.95)(assumeNotNull(c.primary_first_token_ms), is_pair AND isNotNull(c.primary_first_token_ms)) AS primary_first_token_ms,
    quantilesExactIf(0.5, 0.95)(assumeNotNull(c.primary_total_ms), is_pair AND isNotNull(c.primary_total_ms)) AS primary_total_ms,
    countIf(is_pair AND isNotNull(c.primary_first_token_ms)) AS primary_first_token_ms_count,
    countIf(is_pair AND isNotNull(c.primary_total_ms)) AS primary_total_ms_count,

    sumMapIf(map(ifNull(c.shadow_model, ''), toUInt64(1)), is_pair) AS shadow_models,
    countIf(is_pair AND c.shadow_outcome != 'ok') AS shadow_errors,
    countIf(is_pair AND c.shadow_is_refusal) AS shadow_refusals,
    sumIf(c.shadow_cost_nano_usd, is_pair) AS shadow_cost_nano_usd,
    quantilesExactIf(0.5, 0.95)(assumeNotNull(c.shadow_first_token_ms), is_pair AND isNotNull(c.shadow_first_token_ms)) AS shadow_first_token_ms,
    quantilesExactIf(0.5, 0.95)(assumeNotNull(c.shadow_total_ms), is_pair AND isNotNull(c.shadow_total_ms)) AS shadow_total_ms,
    countIf(is_pair AND isNotNull(c.shadow_first_token_ms)) AS shadow_first_token_ms_count,
    countIf(is_pair AND isNotNull(c.shadow_total_ms)) AS shadow_total_ms_count,

    avgIf(c.primary_cost_nano_usd, is_answered) AS answered_cost_nano_usd,
    countIf(is_answered AND isNotNull(c.shadow_cost_nano_usd - c.primary_cost_nano_usd)) AS cost_nano_usd_count,
    avgIf(c.shadow_cost_nano_usd - c.primary_cost_nano_usd, is_answered) AS cost_nano_usd_mean,
    varPopStableIf(c.shadow_cost_nano_usd - c.primary_cost_nano_usd, is_answered) AS cost_nano_usd_variance,
    countIf(is_answered AND isNotNull(c.shadow_first_token_ms - c.primary_first_token_ms)) AS first_token_ms_count,
    avgIf(c.shadow_first_token_ms - c.primary_first_token_ms, is_answered) AS first_token_ms_mean,
    varPopStableIf(c.shadow_first_token_ms - c.primary_first_token_ms, is_answered) AS first_token_ms_variance,
    countIf(is_answered AND isNotNull(c.shadow_total_ms - c.primary_total_ms)) AS total_ms_count,
    avgIf(c.shadow_total_ms - c.primary_total_ms, is_answered) AS total_ms_mean,
    varPopStableIf(c.shadow_total_ms - c.primary_total_ms, is_answered) AS total_ms_variance
FROM
(
    SELECT *
    FROM shadow_comparisons
    WHERE experiment = {experiment:String}
        AND accepted_at >= fromUnixTimestamp64Milli({from_ms:Int64}, 'UTC') AND accepted_at < fromUnixTimestamp64Milli({to_ms:Int64}, 'UTC')
    ORDER BY kafka_partition, kafka_offset
    LIMIT 1 BY tenant, request_id
) AS c
