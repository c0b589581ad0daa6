-- Hold on to a lease. One that ran out while nobody else took the upload goes on.
-- KEYS: record, lease
-- Answers: 0 when it is lost, 1 when it is in force, 2 when somebody waits for it besides.

local record_key, lease_key = KEYS[1], KEYS[2]
local token, gateway, fence, ttl = take(), take(), take(), take()

local holder = redis.call('HMGET', lease_key, 'token', 'waiting')
if holder[1] then
  if holder[1] ~= token then
    return 0
  end
  redis.call('PEXPIRE', lease_key, ttl)
  return holder[2] and 2 or 1
end
local newest = redis.call('HGET', record_key, 'fence')
if newest and newest ~= fence then
  return 0
end
redis.call('HSET', lease_key, 'token', token, 'gateway', gateway, 'fence', fence)
redis.call('PEXPIRE', lease_key, ttl)
return 1
