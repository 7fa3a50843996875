-- Why did a request fail over? Every step of it in order: what was decided, what was left out and why, how calls ended.
-- {tenant:String} {request_id:String}
SELECT * FROM
(
    SELECT decided_at AS at, attempt, 'decided' AS step, chosen AS model, reason,
        arrayStringConcat(arrayMap(x -> concat(x.model, ': ', x.step, ', ', x.reason), excluded), '; ') AS detail
    FROM decisions
    WHERE tenant = {tenant:String} AND request_id = {request_id:String}
    UNION ALL
    SELECT ifNull(finished_at, started_at), attempt, phase, model, ifNull(result, ''),
        concat(ifNull(error_kind, ''), if(isNull(error_status), '', concat(' ', toString(error_status))),
            if(ifNull(error_message, '') = '', '', concat(': ', ifNull(error_message, ''))))
    FROM attempts
    WHERE tenant = {tenant:String} AND request_id = {request_id:String}
    UNION ALL
    SELECT finished_at, attempts, 'outcome', ifNull(model, ''), outcome, ifNull(error_code, '')
    FROM outcomes
    WHERE tenant = {tenant:String} AND request_id = {request_id:String}
)
ORDER BY at, attempt, step
