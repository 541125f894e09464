-- Take every rate's amount and a lease, or nothing. The arithmetic is that of bucket.py.
-- KEYS: 1 hash of debts, 2 sorted set of leases by the millisecond at which they free themselves.
-- ARGV: number of rates; for each: field, limit, per in ms, amount; then concurrency limit (-1: none),
-- hold in ms, name of the lease.
-- Returns for each rate: wait in ms (0 free, -1 never), debt afterwards; then the lease's wait, active leases.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local count = tonumber(ARGV[1])
local free = true
local waits, debts = {}, {}

for i = 1, count do
  local at = 2 + (i - 1) * 4
  local field, limit, per, amount = ARGV[at], tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3])
  local record = redis.call('HMGET', KEYS[1], field .. ':debt', field .. ':since')
  local elapsed = math.max(0, now - tonumber(record[2] or now))
  local debt = math.max(0, tonumber(record[1] or 0) - elapsed * limit)
  local over = debt + (amount - limit) * per
  local wait = 0
  if over > 0 then
    free = false
    if amount > limit or limit == 0 then wait = -1 else wait = math.ceil(over / limit) end
  end
  waits[i], debts[i] = wait, debt
end

local at = 2 + count * 4
local most, hold, lease = tonumber(ARGV[at]), tonumber(ARGV[at + 1]), ARGV[at + 2]
local active, lease_wait = 0, 0
if most >= 0 then
  redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now)
  active = redis.call('ZCARD', KEYS[2])
  if active >= most then
    free = false
    if most == 0 then
      lease_wait = -1
    else
      lease_wait = tonumber(redis.call('ZRANGE', KEYS[2], active - most, active - most, 'WITHSCORES')[2]) - now
    end
  end
end

if free then
  local lasts = 1
  for i = 1, count do
    local at = 2 + (i - 1) * 4
    local field, limit, per, amount = ARGV[at], tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3])
    debts[i] = debts[i] + amount * per
    redis.call('HSET', KEYS[1], field .. ':debt', string.format('%.0f', debts[i]),
      field .. ':since', string.format('%.0f', now))
    if limit > 0 then lasts = math.max(lasts, math.ceil(debts[i] / limit)) end
  end
  if count > 0 and redis.call('PTTL', KEYS[1]) < lasts then redis.call('PEXPIRE', KEYS[1], lasts) end
  if most >= 0 then
    active = active + 1
    redis.call('ZADD', KEYS[2], string.format('%.0f', now + hold), lease)
    if redis.call('PTTL', KEYS[2]) < hold then redis.call('PEXPIRE', KEYS[2], hold) end
  end
end

local reply = {}
for i = 1, count do
  reply[#reply + 1] = waits[i]
  reply[#reply + 1] = debts[i]
end
reply[#reply + 1] = lease_wait
reply[#reply + 1] = active
return reply
