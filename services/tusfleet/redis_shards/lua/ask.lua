-- Ask the holder of an id to let go, without wanting it.
-- KEYS: lease
-- Answers: the token of the lease that is asked for, '' when the one seen before is over; milliseconds it lasts.

local channels, gateway, seen = take(), take(), take()

local lease = table_of(redis.call('HGETALL', KEYS[1]))
if not lease.token or (seen ~= '' and lease.token ~= seen) then
  return { '', 0 }
end
ask(channels, KEYS[1], lease, gateway)
return { lease.token, redis.call('PTTL', KEYS[1]) }
