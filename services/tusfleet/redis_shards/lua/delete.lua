-- Forget a record, unless it has changed since it was read.
-- KEYS: record, parts, fence, index, expiry, ended, finished, usage, links
-- Answers: whether it was deleted.

local record_key, parts_key, fence_key = KEYS[1], KEYS[2], KEYS[3]
local keys = { index = KEYS[4], expiry = KEYS[5], ended = KEYS[6], finished = KEYS[7], usage = KEYS[8] }
local id, tenant, count_expected, last = take(), take(), tonumber(take()), take()
local expected = table_of(take_list())

local old = table_of(redis.call('HGETALL', record_key))
if not old.token then
  return 0
end
-- What is kept beside the record.
old.token, old.given, old.doubt = nil, nil, nil
for name, value in pairs(old) do
  if expected[name] ~= value then
    return 0
  end
end
for name in pairs(expected) do
  if not old[name] then
    return 0
  end
end
if redis.call('LLEN', parts_key) ~= count_expected then
  return 0
end
if count_expected > 0 and redis.call('LINDEX', parts_key, -1) ~= last then
  return 0
end

-- An id may be used again, and fences of an id only grow.
if tonumber(old.fence) > tonumber(redis.call('GET', fence_key) or 0) then
  redis.call('SET', fence_key, old.fence)
end
redis.call('DEL', record_key, parts_key, KEYS[9])
follow(keys, id, old, nil)
if tenant ~= '' then
  redis.call('ZREM', keys.index, 'tenant:' .. tenant .. '\0' .. id)
end
return 1
