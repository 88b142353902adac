-- sample: looks at a bounded run of keys and tells what they are; changes nothing.
--
-- ARGV[1]  cursor of SCAN to start from
-- ARGV[2]  most keys to visit
-- ARGV[3]  most microseconds to take (kept where the script can read a clock)
-- ARGV[4]  "1" = OBJECT IDLETIME may be used
-- ARGV[5]  "1" = MEMORY USAGE may be used
-- ARGV[6…] three per glob: kind of match ("prefix" | "pattern"), prefix or Lua pattern, index of its namespace (from 1)
--
-- Reply    {cursor, visited, keys of the database, flat list}, the list holding four numbers for each visited key:
--          index of its namespace (0 = none), idle seconds (-1 = unknown), TTL in milliseconds (-1 = none), bytes
--          (-1 = unknown). MEMORY USAGE looks at 5 elements of a collection, never at all of them.
--
-- Cost     about 4 microseconds a key.
-- Touches  nothing: SCAN, PTTL, OBJECT IDLETIME and MEMORY USAGE leave a key's idle time alone.

local clock = rawget(_G, 'os') and os.clock
local function now_us()
  if clock then return clock() * 1e6 end
  local t = redis.call('TIME')
  return t[1] * 1e6 + t[2]
end

local cursor, most_keys, most_us = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local has_idle, has_usage = ARGV[4] == '1', ARGV[5] == '1'

local prefixes, lengths, patterns = {}, {}, {}
for i = 6, #ARGV, 3 do
  local text, index = ARGV[i + 1], tonumber(ARGV[i + 2])
  if ARGV[i] == 'prefix' then
    if not prefixes[#text] then prefixes[#text] = {}; lengths[#lengths + 1] = #text end
    prefixes[#text][text] = index
  else
    patterns[#patterns + 1] = {text, index}
  end
end

local function index_of(key)
  for i = 1, #lengths do
    local index = prefixes[lengths[i]][string.sub(key, 1, lengths[i])]
    if index then return index end
  end
  for i = 1, #patterns do
    if string.find(key, patterns[i][1]) then return patterns[i][2] end
  end
  return 0
end

local function number_or_unknown(reply) return type(reply) == 'number' and reply or -1 end

local started, visited, flat = now_us(), 0, {}
local step = math.max(10, math.min(50, most_keys))
repeat
  local page = redis.call('SCAN', cursor, 'COUNT', step)
  cursor = page[1]
  for _, key in ipairs(page[2]) do
    local index = index_of(key)
    local ttl = redis.pcall('PTTL', key)
    if type(ttl) ~= 'number' then -- a key that this user may not touch: it counts, and tells nothing
      if index ~= 0 then return redis.error_reply(ttl.err) end
      ttl = -1
    end
    if ttl ~= -2 then
      local n = #flat
      flat[n + 1] = index
      flat[n + 2] = has_idle and number_or_unknown(redis.pcall('OBJECT', 'IDLETIME', key)) or -1
      flat[n + 3] = ttl
      flat[n + 4] = has_usage and number_or_unknown(redis.pcall('MEMORY', 'USAGE', key, 'SAMPLES', 5)) or -1
      visited = visited + 1
    end
  end
until cursor == '0' or visited >= most_keys or now_us() - started >= most_us

return {cursor, visited, redis.call('DBSIZE'), flat}
