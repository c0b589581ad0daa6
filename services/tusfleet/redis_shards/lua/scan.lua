-- One page of records of one shard, in the order of their ids, which never changes: so a record that fits throughout
-- is given exactly once, however often it is changed meanwhile.
-- KEYS: index, and the index by time if there is one for this
-- Answers: where to go on ('' at the end), and the records, none with the entries of its list.

local index_key, prefix, after, limit = KEYS[1], take(), take(), tonumber(take())
-- At most: ids sorted for one page; records looked at when more than that are due.
local sorted_most, window = tonumber(take()), tonumber(take())
local indexes, states = take_list(), take_list()
local expires_before, ended_before, finals, tenant = tonumber(take()), tonumber(take()), take(), take()
local by_time = take()

local wanted = {}
for _, state in ipairs(states) do
  wanted[state] = true
end

-- The order of the bytes, which is that of the index. Lua's own goes by the locale of the server.
local function precedes(one, other)
  for i = 1, math.min(#one, #other) do
    local left, right = string.byte(one, i), string.byte(other, i)
    if left ~= right then
      return left < right
    end
  end
  return #one < #other
end

-- All ids that a time index holds below a time; nil when they are too many to be sorted.
local function due(key, before)
  local below = '(' .. text(before)
  if redis.call('ZCOUNT', key, '-inf', below) > sorted_most then
    return nil
  end
  local ids = {}
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', key, '-inf', below)) do
    if precedes(after, id) then
      ids[#ids + 1] = id
    end
  end
  table.sort(ids, precedes)
  return ids
end

-- The next ids of some indexes together, and whether there may be more.
local function next_ids()
  local ids, more = {}, nil
  for _, start in ipairs(indexes) do
    local members =
      redis.call('ZRANGEBYLEX', index_key, '(' .. start .. after, '(' .. start .. '\255', 'LIMIT', 0, window)
    for _, member in ipairs(members) do
      ids[#ids + 1] = string.sub(member, #start + 1)
    end
    if #members == window then
      -- Nothing beyond its last one may be taken from the others: it may have ids in between.
      local last = string.sub(members[window], #start + 1)
      if not more or precedes(last, more) then
        more = last
      end
    end
  end
  table.sort(ids, precedes)
  return ids, more
end

local function fits(record)
  return wanted[record.state]
    and (not expires_before or (record.expires and tonumber(record.expires) < expires_before))
    and (not ended_before or (record.ended and tonumber(record.ended) < ended_before))
    and (finals == '' or (finals == '1') == (record.final ~= nil))
    and (tenant == '' or record.tenant == tenant)
end

local ids, more
if by_time ~= '' then
  ids = due(KEYS[2], by_time == 'expiry' and expires_before or ended_before)
end
if not ids then
  ids, more = next_ids()
end

local records = {}
for i, id in ipairs(ids) do
  if more and precedes(more, id) then
    break
  end
  local flat = redis.call('HGETALL', prefix .. 'u:' .. id)
  if #flat > 0 and fits(table_of(flat)) then
    records[#records + 1] = { id, flat, listed(prefix .. 'parts:' .. id, false) }
    if #records == limit and i < #ids then
      return { id, records }
    end
  end
end
return { more or '', records }
