-- What every script of a shard begins with. Arguments are taken one after the other; lists carry their length in front.
-- Sizes, fences and times are decimal text: a number of Lua is exact up to 2^53 only, which fences and times keep to.

local taken = 0

local function take()
  taken = taken + 1
  return ARGV[taken]
end

local function take_list()
  local list = {}
  for i = 1, tonumber(take()) do
    list[i] = take()
  end
  return list
end

-- Names and values by turns, as HGETALL gives them, to a table.
local function table_of(flat)
  local fields = {}
  for i = 1, #flat, 2 do
    fields[flat[i]] = flat[i + 1]
  end
  return fields
end

local function text(number)
  return string.format('%.0f', number)
end

-- Microseconds since 1970, by the clock of this server: no clock of a gateway decides anything.
local function now()
  local time = redis.call('TIME')
  return time[1] * 1000000 + time[2]
end

-- The list of a placement, as the codec reads it: its length, its last entry, and all entries where they are wanted.
local function listed(parts_key, wanted)
  local count = redis.call('LLEN', parts_key)
  if count == 0 then
    return { 0, '', {} }
  end
  return { count, redis.call('LINDEX', parts_key, -1), wanted and redis.call('LRANGE', parts_key, 0, -1) or {} }
end

-- A record as the codec reads it. All entries of its list are wanted by whoever makes its object, and by nobody before.
local function told(record_key, parts_key, wanted)
  local flat = redis.call('HGETALL', record_key)
  if #flat == 0 then
    return false
  end
  return { flat, listed(parts_key, wanted and table_of(flat).state == 'finishing') }
end

-- Tell a gateway something: 'ask' with the token of a lease, or 'free' with an id.
local function tell(channels, gateway, word, about)
  redis.call('PUBLISH', channels .. gateway, word .. ' ' .. about)
end

-- Note that a gateway waits for the end of a lease, and ask its holder to let go.
local function ask(channels, lease_key, lease, gateway)
  local waiting = lease.waiting or ''
  if not string.find(' ' .. waiting .. ' ', ' ' .. gateway .. ' ', 1, true) then
    redis.call('HSET', lease_key, 'waiting', waiting == '' and gateway or waiting .. ' ' .. gateway)
  end
  tell(channels, lease.gateway, 'ask', lease.token)
end

-- End a lease, and wake the gateways that wait for it.
local function give_back(channels, lease_key, lease, id)
  redis.call('DEL', lease_key)
  for gateway in string.gmatch(lease.waiting or '', '[^ ]+') do
    tell(channels, gateway, 'free', id)
  end
end
