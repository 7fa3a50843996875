-- What was booked in all; every role: out of the rollup by hour.
SELECT sum(s.cost_nano_usd) AS cost_nano_usd, sum(s.lines) AS lines
FROM spend_by_hour AS s
WHERE hour >= {from:DateTime64(3, 'UTC')} AND hour < {to:DateTime64(3, 'UTC')}
    AND ({tenant:String} = '' OR tenant = {tenant:String})
