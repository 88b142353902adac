-- census: looks at a bounded run of keys and adds up what they hold, by group; changes nothing.
--
-- A key's group is the namespace whose glob it matches, else the pattern of the tree of prefixes that it follows, else 0.
--
-- ARGV[1]  cursor of SCAN to start from, or "random": keys one by one from RANDOMKEY
-- ARGV[2]  most keys to visit
-- ARGV[3]  most microseconds to take (kept where the script can read a clock)
-- ARGV[4]  "1" = the cursor is made up: begin after the bucket that it points to. While the table is being rehashed
--          that bucket may be a part of a larger one, and only part of it would be seen.
-- ARGV[5]  "1" = OBJECT IDLETIME may be used
-- ARGV[6]  "1" = MEMORY USAGE may be used
-- ARGV[7]  one in how many keys to tell details of (0 = none)
-- ARGV[8]  "1" = details have names, types and encodings
-- ARGV[9]  size in bytes from which on a key is heavy
-- ARGV[10] size in bytes from which on a key is told of in any case (0 = none)
-- ARGV[11] the groups, as MessagePack:
--          prefixes  {length: {prefix: index of its namespace, from 1}}, patterns  {{Lua pattern, index}, ...}
--          tree      the root of the tree of prefixes, separator  its separator; none where there is no tree. A node has
--                    index  (where keys end), kids  {word: node}, shaped  (1 where a word has a star for a part of it)
--
-- Reply    {cursor, where it began, visited, expired, keys of the database, squares, tallies, details, big keys}
--          squares  {light, heavy}: sums of squared sizes, as text
--          tallies  nine numbers for each group met: index, keys, without TTL, light bytes, heavy keys, heavy bytes, bytes of
--                   names, keys of unknown TTL, keys of unknown size
--          details  four numbers a key: index, idle seconds (-1 = unknown), TTL in milliseconds (-1 = none, -3 = unknown),
--                   bytes (-1 = unknown); with names also name, encoding, type ("" = unknown)
--          big keys the same, always with names
--
-- Cost     3 to 5 microseconds a key, 3 more for one with details.
-- Touches  nothing: SCAN, PTTL, MEMORY USAGE, OBJECT IDLETIME and ENCODING, TYPE leave a key's idle time alone. MEMORY
--          USAGE looks at 5 elements of a collection, never at all of them.

local call, pcall, find, gsub, match, sub = redis.call, redis.pcall, string.find, string.gsub, string.match, string.sub
local clock = rawget(_G, 'os') and os.clock
local function now_us()
  if clock then return clock() * 1e6 end
  local t = call('TIME')
  return t[1] * 1e6 + t[2]
end

local cursor, most_keys, most_us = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local made_up, has_idle, has_usage = ARGV[4] == '1', ARGV[5] == '1', ARGV[6] == '1'
local detail_every, named = tonumber(ARGV[7]), ARGV[8] == '1'
local heavy_from, big_from = tonumber(ARGV[9]), tonumber(ARGV[10])
if big_from == 0 then big_from = math.huge end

local groups = cmsgpack.unpack(ARGV[11])
local patterns, root, separator = groups.patterns, groups.tree, groups.separator
local lengths, of_length = {}, {}
for length, prefixes in pairs(groups.prefixes) do
  lengths[#lengths + 1], of_length[#of_length + 1] = tonumber(length), prefixes
end

local hex = '%x%x%x%x'
local uuid = table.concat({hex .. hex, hex, hex, hex, hex .. hex .. hex}, '%-')
local function fold(part)
  local head = match(part, '^(%a%a+)%d+$')
  return (head or '') .. '*'
end
local function shape(word)
  if #word > 200 then return '*' end
  local folded, more = gsub(gsub(word, uuid, '*'), '%w*%d%w*', fold), nil
  repeat folded, more = gsub(folded, '%*[-._]?%*', '*') until more == 0
  return (sub(folded, 1, 1) == '*' and sub(folded, -1) == '*') and '*' or folded
end

local function prefix_of(key)
  local node, from = root, 1
  while node.kids and from do
    local stop = find(key, separator, from, true)
    local word = sub(key, from, (stop or 0) - 1)
    local kids = node.kids
    node = kids[word] or (node.shaped == 1 and kids[shape(word)]) or kids['*']
    from = stop and stop + 1
  end
  while not node.index do node = node.kids['*'] end
  return node.index
end

local function index_of(key)
  for i = 1, #lengths do
    local index = of_length[i][sub(key, 1, lengths[i])]
    if index then return index end
  end
  for i = 1, #patterns do
    if find(key, patterns[i][1]) then return patterns[i][2] end
  end
  return root and prefix_of(key) or 0
end

local function number_or(unknown, reply) return type(reply) == 'number' and reply or unknown end

local function tell(list, index, key, ttl, size, with_name)
  local n = #list
  list[n + 1] = index
  list[n + 2] = has_idle and number_or(-1, pcall('OBJECT', 'IDLETIME', key)) or -1
  list[n + 3] = ttl
  list[n + 4] = size
  if not with_name then return end
  local encoding = pcall('OBJECT', 'ENCODING', key)
  encoding = type(encoding) == 'string' and encoding or ''
  local kind = ''
  if encoding == 'embstr' or encoding == 'raw' or encoding == 'int' then
    kind = 'string' -- TYPE costs more than all the rest
  else
    local reply = pcall('TYPE', key)
    kind = type(reply) == 'table' and reply.ok or ''
  end
  list[n + 5], list[n + 6], list[n + 7] = key, encoding, kind
end

local tallies, details, big = {}, {}, {}
local visited, vanished, light_squares, heavy_squares = 0, 0, 0, 0
local countdown = detail_every > 0 and math.ceil(detail_every / 2) or math.huge

local function look(key)
  local ttl = pcall('PTTL', key)
  if type(ttl) ~= 'number' then ttl = -3 end
  if ttl == -2 then vanished = vanished + 1 return end
  local index = index_of(key)
  local tally = tallies[index]
  if not tally then tally = {0, 0, 0, 0, 0, 0, 0, 0}; tallies[index] = tally end
  tally[1] = tally[1] + 1
  tally[6] = tally[6] + #key
  if ttl == -1 then tally[2] = tally[2] + 1 elseif ttl == -3 then tally[7] = tally[7] + 1 end
  local size = has_usage and pcall('MEMORY', 'USAGE', key)
  if type(size) ~= 'number' then
    size = -1
    tally[8] = tally[8] + 1
  elseif size >= heavy_from then
    tally[4], tally[5], heavy_squares = tally[4] + 1, tally[5] + size, heavy_squares + size * size
  else
    tally[3], light_squares = tally[3] + size, light_squares + size * size
  end
  countdown = countdown - 1
  if countdown == 0 then
    tell(details, index, key, ttl, size, named)
    countdown = detail_every
  end
  if size >= big_from then tell(big, index, key, ttl, size, true) end
  visited = visited + 1
end

local before, started, start = call('DBSIZE'), now_us(), cursor
if cursor == 'random' then
  start, cursor = '0', '0'
  repeat
    local key = call('RANDOMKEY')
    if not key then break end
    look(key)
  until visited + vanished >= most_keys or now_us() - started >= most_us
else
  if made_up then
    cursor = call('SCAN', cursor, 'COUNT', 1)[1]
    start, before = cursor, call('DBSIZE')
  end
  local step = math.max(10, math.min(100, most_keys))
  repeat
    local page = call('SCAN', cursor, 'COUNT', step)
    cursor = page[1]
    for _, key in ipairs(page[2]) do look(key) end
  until cursor == '0' or visited >= most_keys or now_us() - started >= most_us
end

local after, flat = call('DBSIZE'), {}
for index, tally in pairs(tallies) do
  flat[#flat + 1] = index
  for i = 1, 8 do flat[#flat + 1] = tally[i] end
end
local squares = {string.format('%.0f', light_squares), string.format('%.0f', heavy_squares)}
return {cursor, start, visited, math.max(before - after, vanished), before, squares, flat, details, big}
