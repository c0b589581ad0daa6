-- Add a record with its events: one step.
-- KEYS: record, parts, lease, index, expiry, ended, finished, usage, outbox
-- Answers: 'created', 'exists', or 'full' and the bytes that are free.

local record_key, parts_key, lease_key = KEYS[1], KEYS[2], KEYS[3]
local keys = { index = KEYS[4], expiry = KEYS[5], ended = KEYS[6], finished = KEYS[7], usage = KEYS[8] }
local id, token, tenant, capacity = take(), take(), take(), take()
local shards, flat, parts, events = take_list(), take_list(), take_list(), take_list()

local there = redis.call('HGET', record_key, 'token')
if there then
  if there ~= token then
    return { 'exists' }
  end
  -- The answer to the same creation was lost. Written again, so that replicas are waited for again.
  redis.call('HSET', record_key, 'token', token)
  return { 'created' }
end

local new = table_of(flat)
local free = room(capacity, shards, nil, new)
if free then
  return { 'full', free }
end

-- Whoever holds the id already, to write the first bytes, goes on under its fence; a former holder does not.
local fence = redis.call('HGET', lease_key, 'fence')
redis.call('HSET', record_key, 'token', token, unpack(flat))
if fence and tonumber(fence) > tonumber(new.fence) then
  redis.call('HSET', record_key, 'fence', fence)
end
push(parts_key, parts)
follow(keys, id, nil, new)
if tenant ~= '' then
  redis.call('ZADD', keys.index, 0, 'tenant:' .. tenant .. '\0' .. id)
end
record_events(KEYS[9], events)
return { 'created' }
