-- Change a record under a fence, with its events, and perhaps give the lease back: one step.
-- KEYS: record, parts, lease, index, expiry, ended, finished, usage, outbox
-- Answers: 'fenced'; 'full' and the bytes that are free; 'parts' when the list of parts is not the one that was to
-- grow; or 'committed', whether the lease is over, the fields of the record, and its list: with all entries if its
-- object is to be made now and the caller does not have them.

local record_key, parts_key, lease_key = KEYS[1], KEYS[2], KEYS[3]
local keys = { index = KEYS[4], expiry = KEYS[5], ended = KEYS[6], finished = KEYS[7], usage = KEYS[8] }
local channels, id, token, capacity = take(), take(), take(), take()
local created, offset, fence, ends = take(), take(), take(), take()
-- How the parts change: 'keep', 'append' or 'replace'. How many the caller knows of, the last of them, and whether it
-- has not got them all.
local way, known, last, lacks = take(), tonumber(take()), take(), take()
local shards, flat, removed, parts, events = take_list(), take_list(), take_list(), take_list(), take_list()

local function as_known()
  return known == 0 or redis.call('LINDEX', parts_key, known - 1) == last
end

local function answer(record, ended)
  local fields = {}
  for name, value in pairs(record) do
    if name ~= 'head' and (name ~= 'placement' or way == 'keep') then
      fields[#fields + 1] = name
      fields[#fields + 1] = value
    end
  end
  local stale = way == 'keep' and not (redis.call('LLEN', parts_key) == known and as_known())
  local wanted = record.state == 'finishing' and (lacks == '1' or stale)
  return { 'committed', ended, fields, listed(parts_key, wanted) }
end

local old = table_of(redis.call('HGETALL', record_key))
local lease = table_of(redis.call('HGETALL', lease_key))
-- An id may be used again: another time of creation tells that this is not the record that was read.
if old.created ~= created then
  return { 'fenced' }
end
if old.token == token then
  -- The answer to the same commit was lost. Written again, so that replicas are waited for again.
  redis.call('HSET', record_key, 'token', token)
  return answer(old, lease.fence ~= fence and 1 or 0)
end
if tonumber(old.fence) > tonumber(fence) or old.offset ~= offset then
  return { 'fenced' }
end
if lease.fence and lease.fence ~= fence then
  return { 'fenced' }
end

local length = redis.call('LLEN', parts_key)
if way == 'append' and not (length == known and as_known()) then
  return { 'parts' }
end

local new = {}
for name, value in pairs(old) do
  new[name] = value
end
for name, value in pairs(table_of(flat)) do
  new[name] = value
end
for _, name in ipairs(removed) do
  new[name] = nil
end
new.fence, new.token = fence, token
local ending = ends == '1' and lease.fence == fence
if ending then
  new.given = fence
end
local free = room(capacity, shards, old, new)
if free then
  return { 'full', free }
end

local changed = {}
for name, value in pairs(new) do
  if old[name] ~= value then
    changed[#changed + 1] = name
    changed[#changed + 1] = value
  end
end
redis.call('HSET', record_key, unpack(changed))
if #removed > 0 then
  redis.call('HDEL', record_key, unpack(removed))
end
if way == 'replace' and length > 0 then
  redis.call('DEL', parts_key)
end
push(parts_key, parts)
follow(keys, id, old, new)
record_events(KEYS[9], events)
if ending then
  give_back(channels, lease_key, lease, id)
end
return answer(new, ending and 1 or 0)
