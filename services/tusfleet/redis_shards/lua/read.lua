-- A record, with the entries of its list if they are `wanted` and its object is to be made; and whether somebody holds it.
-- KEYS: record, parts, lease

local wanted = take()

return { told(KEYS[1], KEYS[2], wanted == '1'), redis.call('EXISTS', KEYS[3]) }
