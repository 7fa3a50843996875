-- Whether a tenant has asked in a conversation: a row if so.
-- {tenant:String} {conversation_id:String}
SELECT 1 AS is_known
FROM requests
WHERE tenant = {tenant:String} AND conversation_id = {conversation_id:String}
LIMIT 1
