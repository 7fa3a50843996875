-- What do people think of each model's answers? Last words only; a label counts as 1 or 0 where no score was given.
-- {tenant:String}
SELECT
    o.model AS model,
    count() AS ratings,
    uniqExact(f.user) AS users,
    avg(coalesce(f.score, if(f.label = 'up', 1, 0))) AS score,
    countIf(f.label = 'down' OR f.score < 0.5) AS bad,
    countIf(f.edit IS NOT NULL) AS edits
FROM feedback AS f FINAL
INNER JOIN outcomes AS o ON o.tenant = f.tenant AND o.request_id = f.request_id
WHERE f.tenant = {tenant:String} AND o.tenant = {tenant:String}
GROUP BY model
ORDER BY score DESC, model
