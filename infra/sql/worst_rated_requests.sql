-- Which answers were rated worst? Last words only; then `millrace explain` tells the story of each.
-- {tenant:String}
SELECT
    o.request_id AS request_id,
    o.model AS model,
    o.accepted_at AS accepted_at,
    avg(coalesce(f.score, if(f.label = 'up', 1, 0))) AS score,
    count() AS ratings,
    any(f.comment) AS comment
FROM feedback AS f FINAL
INNER JOIN outcomes AS o ON o.tenant = f.tenant AND o.request_id = f.request_id
WHERE f.tenant = {tenant:String} AND o.tenant = {tenant:String}
GROUP BY request_id, model, accepted_at
ORDER BY score, accepted_at DESC
LIMIT 50
