-- A record, its parts, and whether somebody holds it.
-- KEYS: record, parts, lease

return { told(KEYS[1], KEYS[2]), redis.call('EXISTS', KEYS[3]) }
