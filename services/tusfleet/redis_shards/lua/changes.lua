-- What creating, changing and deleting a record share: its indexes, the totals of its shard, its events.

local ALIVE = { open = true, finishing = true, finished = true }
local UNFINISHED = { open = true, finishing = true }

-- Arguments of one RPUSH: more than a few thousand do not fit on the stack of Lua.
local CHUNK = 1000

-- A decimal as thousand millions and the rest: a sum of sizes may be beyond every integer.
local function split(amount)
  return tonumber(string.sub(amount, 1, -10)) or 0, tonumber(string.sub(amount, -9)) or 0
end

-- What one record adds to the totals: records, those unfinished, bytes set aside. A tombstone adds nothing.
local function share(record)
  if not record or not ALIVE[record.state] then
    return 0, 0, 0, 0
  end
  local high, low = split(record.reserved)
  return 1, UNFINISHED[record.state] and 1 or 0, high, low
end

local function growth(old, new)
  local uploads, open, high, low = share(old)
  local uploads_new, open_new, high_new, low_new = share(new)
  return uploads_new - uploads, open_new - open, high_new - high, low_new - low
end

-- Whether `old` may become `new` in a store that holds `capacity` bytes at most ('' without a limit); if not, how many
-- bytes are free. The totals of all shards are added up, which needs all of them on this server.
local function room(capacity, shards, old, new)
  if capacity == '' then
    return nil
  end
  local _, _, high, low = growth(old, new)
  if high * 1e9 + low <= 0 then
    return nil
  end
  local free_high, free_low = split(capacity)
  for _, usage_key in ipairs(shards) do
    local total = redis.call('HMGET', usage_key, 'high', 'low')
    free_high = free_high - (tonumber(total[1]) or 0)
    free_low = free_low - (tonumber(total[2]) or 0)
  end
  local carry = math.floor(free_low / 1e9)
  free_high, free_low = free_high + carry, free_low - carry * 1e9
  local left_high, left_low = free_high - high, free_low - low
  carry = math.floor(left_low / 1e9)
  if left_high + carry >= 0 then
    return nil
  end
  return text(math.max(free_high * 1e9 + free_low, 0))
end

local function count(usage_key, old, new)
  local uploads, open, high, low = growth(old, new)
  for name, amount in pairs({ uploads = uploads, open = open, high = high, low = low }) do
    if amount ~= 0 then
      redis.call('HINCRBY', usage_key, name, text(amount))
    end
  end
end

-- Members of the index are a prefix and the id, in the order of their bytes: by state, of final uploads that wait.
local function prefixes(record)
  if not record then
    return nil, nil
  end
  return 'state:' .. record.state .. ':', record.final and UNFINISHED[record.state] and 'final:' or nil
end

local function move(index_key, id, old, new)
  if old == new then
    return
  end
  if old then
    redis.call('ZREM', index_key, old .. id)
  end
  if new then
    redis.call('ZADD', index_key, 0, new .. id)
  end
end

local function place(key, id, old, new)
  if old == new then
    return
  end
  if new then
    redis.call('ZADD', key, new, id)
  else
    redis.call('ZREM', key, id)
  end
end

-- When an upload was finished; or when it ended otherwise.
local function times_of_end(record)
  if not record or UNFINISHED[record.state] then
    return nil, nil
  elseif record.state == 'finished' then
    return record.ended, nil
  end
  return nil, record.ended
end

-- Keep indexes and totals in step with a record that was `old` and is `new`; nil where there is none.
local function follow(keys, id, old, new)
  local state_old, final_old = prefixes(old)
  local state_new, final_new = prefixes(new)
  move(keys.index, id, state_old, state_new)
  move(keys.index, id, final_old, final_new)
  place(keys.expiry, id, old and old.expires, new and new.expires)
  -- Apart, so that the many that are finished are not in the way of the few that are to be forgotten soon.
  local finished_old, ended_old = times_of_end(old)
  local finished_new, ended_new = times_of_end(new)
  place(keys.finished, id, finished_old, finished_new)
  place(keys.ended, id, ended_old, ended_new)
  count(keys.usage, old, new)
end

local function push(parts_key, parts)
  for first = 1, #parts, CHUNK do
    redis.call('RPUSH', parts_key, unpack(parts, first, math.min(first + CHUNK - 1, #parts)))
  end
end

local function record_events(outbox_key, events)
  if #events == 0 then
    return
  end
  local at = text(now())
  for _, event in ipairs(events) do
    redis.call('XADD', outbox_key, '*', 'at', at, 'event', event)
  end
end
