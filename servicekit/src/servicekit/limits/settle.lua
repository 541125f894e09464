-- Correct what was reserved and release the lease. The arithmetic is that of bucket.py.
-- KEYS: 1 hash of debts, 2 sorted set of leases.
-- ARGV: number of rates; for each: field, limit, per in ms, amount (below 0: give back); then the lease ('': none).
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local count = tonumber(ARGV[1])
local lasts = 1

for i = 1, count do
  local at = 2 + (i - 1) * 4
  local field, limit, per, amount = ARGV[at], tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3])
  local record = redis.call('HMGET', KEYS[1], field .. ':debt', field .. ':since')
  local elapsed = math.max(0, now - tonumber(record[2] or now))
  local debt = math.max(0, math.max(0, tonumber(record[1] or 0) - elapsed * limit) + amount * per)
  redis.call('HSET', KEYS[1], field .. ':debt', string.format('%.0f', debt), field .. ':since', string.format('%.0f', now))
  if limit > 0 then lasts = math.max(lasts, math.ceil(debt / limit)) end
end
if count > 0 and redis.call('PTTL', KEYS[1]) < lasts then redis.call('PEXPIRE', KEYS[1], lasts) end

local lease = ARGV[2 + count * 4]
if lease ~= '' then redis.call('ZREM', KEYS[2], lease) end
return count
