-- Note that a final upload is made of a part, in the shard of the part, which may be another than that of the final.
-- KEYS: links, record of the part

local final, seconds = take(), take()

redis.call('ZADD', KEYS[1], text(now()), final)
-- The links go with the record of the part; where there is none they must not stay for ever.
if redis.call('EXISTS', KEYS[2]) == 0 then
  redis.call('EXPIRE', KEYS[1], seconds)
else
  redis.call('PERSIST', KEYS[1])
end
return 1
