-- How many records a range has, to choose between applying the first-record rule and counting records.
SELECT
    (
        SELECT count() FROM responses
        WHERE role = 'primary'
            AND finished_at >= {from:DateTime64(3, 'UTC')} AND finished_at < {to:DateTime64(3, 'UTC')}
            AND ({tenant:String} = '' OR tenant = {tenant:String})
    ) AS responses,
    (
        SELECT count() FROM costs
        WHERE at >= {from:DateTime64(3, 'UTC')} AND at < {to:DateTime64(3, 'UTC')}
            AND ({tenant:String} = '' OR tenant = {tenant:String})
    ) AS costs
