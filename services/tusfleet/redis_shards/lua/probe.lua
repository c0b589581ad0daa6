-- Write something that is different every time, and read it.
-- KEYS: probe

local written = redis.call('INCR', KEYS[1])
return redis.call('GET', KEYS[1]) == text(written) and 1 or 0
