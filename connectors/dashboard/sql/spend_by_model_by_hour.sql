-- What was booked, by model; every role: out of the rollup by hour.
SELECT model, sum(s.cost_nano_usd) AS cost_nano_usd, sum(s.lines) AS lines
FROM spend_by_hour AS s
WHERE hour >= {from:DateTime64(3, 'UTC')} AND hour < {to:DateTime64(3, 'UTC')}
    AND ({tenant:String} = '' OR tenant = {tenant:String})
GROUP BY model
ORDER BY cost_nano_usd DESC, model
LIMIT 20
