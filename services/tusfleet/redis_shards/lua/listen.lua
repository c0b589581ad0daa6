-- Say that events are delivered from now on, or ask whether somebody has said so of late.
-- KEYS: store

local says, microseconds = take(), tonumber(take())

if says == '1' then
  redis.call('HSET', KEYS[1], 'listened', text(now()))
  return 1
end
local said = tonumber(redis.call('HGET', KEYS[1], 'listened') or 0)
return now() - said < microseconds and 1 or 0
