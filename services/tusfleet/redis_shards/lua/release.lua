-- Give a lease back, if it is still the one with this token.
-- KEYS: lease

local channels, id, token = take(), take(), take()

local lease = table_of(redis.call('HGETALL', KEYS[1]))
if lease.token ~= token then
  return 0
end
give_back(channels, KEYS[1], lease, id)
return 1
