-- Read what is noted of a store, and note it when there is nothing yet.
-- KEYS: store

local schema, shards = take(), take()

redis.call('HSETNX', KEYS[1], 'schema', schema)
redis.call('HSETNX', KEYS[1], 'shards', shards)
return redis.call('HMGET', KEYS[1], 'schema', 'shards')
