-- How many records a range has, to choose between applying the first-record rule and counting records: out of the rollup by ten minutes. Of the ledger in whole hours.
SELECT
    (
        SELECT sum(requests) FROM traffic_by_10_minutes
        WHERE bucket >= {from:DateTime64(3, 'UTC')} AND bucket < {to:DateTime64(3, 'UTC')}
            AND ({tenant:String} = '' OR tenant = {tenant:String})
    ) AS responses,
    (
        SELECT sum(lines) FROM spend_by_hour
        WHERE hour >= toStartOfHour({from:DateTime64(3, 'UTC')}) AND hour < {to:DateTime64(3, 'UTC')}
            AND ({tenant:String} = '' OR tenant = {tenant:String})
    ) AS costs
