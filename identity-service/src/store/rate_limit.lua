-- One decision of the generic cell rate algorithm (see domain/rate_limit.rs), atomically and in one round trip.
-- KEYS[1]  holds when the debt is paid off, in microseconds since 1970
-- ARGV     now, what one request costs, the highest debt, the debt that the caller knows of; microseconds
-- Returns  whether the request is allowed (1 or 0), and the debt after it
local now, cost, highest, known = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local paid_off = tonumber(redis.call('GET', KEYS[1]) or 0) or 0
local debt = math.max(paid_off - now, known, 0)
if debt > highest + cost then
    debt = highest - cost
end
debt = math.min(debt, highest)
local allowed = debt + cost <= highest
if allowed then
    debt = debt + cost
end
if now + debt ~= paid_off then
    -- %.0f: by itself Lua writes no more than 14 digits. The key lives no longer than the debt.
    redis.call('SET', KEYS[1], string.format('%.0f', now + debt), 'PX', math.ceil(debt / 1000))
end
return { allowed and 1 or 0, debt }
