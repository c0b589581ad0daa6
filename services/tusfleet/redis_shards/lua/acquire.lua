-- Take the lease of an id if it is free. If it is held, perhaps ask the holder to let go.
-- KEYS: record, parts, lease, fence
-- Answers: 'held' and the milliseconds after which it is free at the latest; or 'granted', the fence, the record,
-- the fence of the lease before, '0' when it is not known, and that of the newest one that was never given back, '0'
-- when there is none.

local record_key, parts_key, lease_key, fence_key = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local channels, token, gateway, ttl, asks = take(), take(), take(), take(), take()

local lease = table_of(redis.call('HGETALL', lease_key))
if lease.token == token then
  -- The answer to the same request was lost. Written again, so that replicas are waited for again.
  redis.call('PEXPIRE', lease_key, ttl)
  return { 'granted', lease.fence, told(record_key, parts_key, true), '0', redis.call('HGET', record_key, 'doubt') or '0' }
end
if lease.token then
  if asks == '1' then
    ask(channels, lease_key, lease, gateway)
  end
  return { 'held', redis.call('PTTL', lease_key) }
end

-- The time makes fences grow also when a failover has lost the last ones.
local before, given, doubt = unpack(redis.call('HMGET', record_key, 'fence', 'given', 'doubt'))
local mark = redis.call('GET', fence_key)
local fence = text(math.max(now(), (tonumber(before) or 0) + 1, (tonumber(mark) or 0) + 1))
redis.call('HSET', lease_key, 'token', token, 'gateway', gateway, 'fence', fence)
redis.call('PEXPIRE', lease_key, ttl)
if before then
  -- From now on a commit under an older fence is refused.
  redis.call('HSET', record_key, 'fence', fence)
  if before ~= '0' and given ~= before then
    -- That lease has run out: its holder may still be at work.
    doubt = before
    redis.call('HSET', record_key, 'doubt', doubt)
  end
else
  redis.call('SET', fence_key, fence)
end
return { 'granted', fence, told(record_key, parts_key, true), before or '0', doubt or '0' }
