-- sweep: visits a bounded run of keys, deletes or re-times those that a rule asks for, counts the rest.
--
-- ARGV[1]  cursor of SCAN to start from
-- ARGV[2]  most keys to visit
-- ARGV[3]  most microseconds to take (kept where the script can read a clock, see below)
-- ARGV[4]  bytes to free before stopping, 0 = no bound
-- ARGV[5]  "1" = dry run: nothing is deleted or re-timed, victims are measured with MEMORY USAGE instead
-- ARGV[6]  "1" = OBJECT IDLETIME may be used
-- ARGV[7…] eight per namespace: kind of match ("prefix" | "pattern"), prefix or Lua pattern, index of the namespace
--          (from 1), what to delete (none | count | all | cut | orphan), idle cut-off in seconds (-1 = none), TTL cut-off in
--          milliseconds (-1 = none), TTL cap in milliseconds (0 = none), TTL for keys without one (0 = none), which
--          the idle cut-off holds for as well.
--          The first match decides. A namespace with several globs stands here several times. Where a single prefix is
--          given and all its keys go, the server compares the keys itself, which is a third faster.
--
-- Reply    {cursor, visited, expired, freed bytes, used bytes before, INFO memory after, per-namespace…}
--          with {matched, without TTL, deleted, re-timed} for each namespace index up to the highest.
--          "without TTL" is counted only where the rule had to read the TTL anyway.
--
-- Cost     about 1 microsecond a visited key, 2 more where TTL or idle time is read or the key goes. One call is atomic,
--          so the difference of the server's own counter is exactly what it freed (lazy frees still pending apart).
-- Touches  only keys that match a rule which asks for it. SCAN itself lets the server drop the expired keys it visits.
-- Needs    no allow-oom: UNLINK and PEXPIRE work at 100 % memory.

if redis.replicate_commands then redis.replicate_commands() end -- for 6.2: SCAN is random, writes follow

-- Valkey freezes TIME inside a script but has os.clock; Redis 6.2 and 7.0 have a running TIME and no os. Where neither
-- moves, the number of keys is the only bound.
local clock = rawget(_G, 'os') and os.clock
local function now_us()
  if clock then return clock() * 1e6 end
  local t = redis.call('TIME')
  return t[1] * 1e6 + t[2]
end

local function used(info) return tonumber(string.match(info, 'used_memory:(%d+)')) end

local cursor, most_keys, most_us, need = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local dry, has_idle = ARGV[5] == '1', ARGV[6] == '1'

local prefixes, lengths, patterns, counts = {}, {}, {}, {}
for i = 7, #ARGV, 8 do
  local index = tonumber(ARGV[i + 2])
  local rule = {
    pattern = ARGV[i + 1], index = index, unlink = ARGV[i + 3], idle = tonumber(ARGV[i + 4]),
    ttl = tonumber(ARGV[i + 5]), cap = tonumber(ARGV[i + 6]), give = tonumber(ARGV[i + 7]),
  }
  rule.reads_ttl = rule.unlink == 'count' or rule.unlink == 'cut' or rule.unlink == 'orphan' or rule.cap > 0 or rule.give > 0
  if ARGV[i] == 'prefix' then
    local length = #rule.pattern
    if not prefixes[length] then prefixes[length] = {}; lengths[#lengths + 1] = length end
    prefixes[length][rule.pattern] = rule
  else
    patterns[#patterns + 1] = rule
  end
  while #counts < index do counts[#counts + 1] = {0, 0, 0, 0} end
end

-- The only rule, where all that is asked is to delete what begins with one prefix; MATCH wants its magic escaped.
local lone, lone_match
if #ARGV == 14 and ARGV[7] == 'prefix' and ARGV[10] == 'all' and not dry then
  lone = prefixes[lengths[1]][ARGV[8]]
  lone_match = string.gsub(ARGV[8], '[%*%?%[%]%^%-\\]', '\\%0') .. '*'
end

local function rule_of(key)
  for i = 1, #lengths do
    local rule = prefixes[lengths[i]][string.sub(key, 1, lengths[i])]
    if rule then return rule end
  end
  for i = 1, #patterns do
    if string.find(key, patterns[i].pattern) then return patterns[i] end
  end
end

local function idle_of(key)
  if not has_idle then return nil end
  local idle = redis.pcall('OBJECT', 'IDLETIME', key)
  return type(idle) == 'number' and idle or nil
end

local function must_go(rule, key, ttl)
  if rule.unlink == 'all' then return true end
  if rule.unlink == 'orphan' then
    if ttl ~= -1 then return false end
    local idle = idle_of(key)
    return idle ~= nil and idle > rule.idle
  end
  if rule.unlink ~= 'cut' then return false end
  if rule.idle >= 0 then
    local idle = idle_of(key)
    if idle and idle ~= rule.idle then return idle > rule.idle end
  end
  return rule.ttl < 0 or (ttl >= 0 and ttl <= rule.ttl)
end

local before = used(redis.call('INFO', 'memory'))
local size_before = redis.call('DBSIZE')
local started = now_us()
local visited, deleted, estimated = 0, 0, 0
local victims, victim_count = {}, 0

local function flush()
  if victim_count == 0 then return 0 end
  local gone = redis.call('UNLINK', unpack(victims, 1, victim_count))
  victims, victim_count = {}, 0
  return gone
end

local function take(key)
  deleted = deleted + 1
  if dry then
    local size = redis.pcall('MEMORY', 'USAGE', key, 'SAMPLES', 5)
    if type(size) == 'number' then estimated = estimated + size end
    return
  end
  victim_count = victim_count + 1
  victims[victim_count] = key
end

local function retime(rule, key, ttl, count)
  local wanted = 0
  if rule.cap > 0 and (ttl == -1 or ttl > rule.cap) then wanted = rule.cap
  elseif rule.give > 0 and ttl == -1 and (rule.idle < 0 or (idle_of(key) or 0) > rule.idle) then wanted = rule.give end
  if wanted == 0 then return end
  if not dry then redis.call('PEXPIRE', key, wanted) end
  count[4] = count[4] + 1
end

local function visit(key)
  local rule = rule_of(key)
  if not rule then return end
  local count = counts[rule.index]
  local ttl
  if rule.reads_ttl then
    ttl = redis.call('PTTL', key)
    if ttl == -2 then return end -- gone since SCAN named it
    if ttl == -1 then count[2] = count[2] + 1 end
  end
  count[1] = count[1] + 1
  if must_go(rule, key, ttl) then
    count[3] = count[3] + 1
    take(key)
  elseif rule.reads_ttl then
    retime(rule, key, ttl, count)
  end
end

-- Pages are small where each key costs microseconds, so that a call ends on time.
local step = math.max(10, math.min(lone and 100 or 40, most_keys))
local measured = 0
local freed = 0
repeat
  local page = lone and redis.call('SCAN', cursor, 'MATCH', lone_match, 'COUNT', step)
    or redis.call('SCAN', cursor, 'COUNT', step)
  cursor = page[1]
  local keys = page[2]
  if lone then
    victims, victim_count = keys, #keys
    deleted = deleted + flush()
    visited = visited + math.max(step, #keys)
  else
    for i = 1, #keys do visit(keys[i]) end
    flush()
    visited = visited + #keys
  end
  if dry then
    freed = estimated
  elseif need > 0 and deleted > measured then
    measured = deleted
    freed = before - used(redis.call('INFO', 'memory'))
  end
until cursor == '0' or visited >= most_keys or now_us() - started >= most_us or (need > 0 and freed >= need)

if lone then
  local count = counts[lone.index]
  count[1], count[3] = deleted, deleted
end
local info = redis.call('INFO', 'memory')
if not dry then freed = before - used(info) end
local expired = size_before - redis.call('DBSIZE') - (dry and 0 or deleted)
local reply = {cursor, visited, expired, freed, before, info}
for i = 1, #counts do reply[#reply + 1] = counts[i] end
return reply
