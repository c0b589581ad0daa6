-- Give a lease back, if it is still the one with this token.
-- KEYS: lease, record

local channels, id, token, fence = take(), take(), take(), take()

local lease = table_of(redis.call('HGETALL', KEYS[1]))
if lease.token == token then
  fence = lease.fence
elseif lease.token then
  return 0
end
-- Its holder is done with the upload; so is one whose lease has run out, if nobody has taken the upload since.
if redis.call('HGET', KEYS[2], 'fence') == fence then
  redis.call('HSET', KEYS[2], 'given', fence)
end
if not lease.token then
  return 0
end
give_back(channels, KEYS[1], lease, id)
return 1
