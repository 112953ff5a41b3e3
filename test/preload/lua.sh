#!/bin/bash
# Lua: every allocation of the interpreter is a realloc.
. "$(dirname "$0")/preload.sh"
need lua5.4
loads lua5.4 -v

workload() {
    cat >script.lua <<'LUA'
local state = 1
local function number(limit)
    state = (state * 1103515245 + 12345) % 2147483648
    return state % limit
end
local function tree(depth)
    if depth == 0 then return {} end
    return { tree(depth - 1), tree(depth - 1) }
end
local function count(node)
    if not node[1] then return 1 end
    return 1 + count(node[1]) + count(node[2])
end
for round = 1, 10 do print(round, count(tree(14))) end

local words = {}
for i = 1, 300000 do
    local word = string.rep(string.char(97 + number(26)), number(30)) .. number(1000)
    words[word] = (words[word] or 0) + 1
    if number(3) == 0 then words[word] = nil end
end
local keys = {}
for word in pairs(words) do keys[#keys + 1] = word end
table.sort(keys)
print(#keys, keys[1], keys[#keys // 2], keys[#keys])

local text = table.concat(keys, " ")
print(#text, select(2, text:gsub("(%a+)(%d+)", "%2%1")))
local routines = {}
for i = 1, 5000 do
    routines[i] = coroutine.wrap(function(a)
        local sum = a
        while true do sum = sum + coroutine.yield(sum) end
    end)
end
local sum = 0
for round = 1, 20 do
    for i = 1, #routines do sum = sum + routines[i](i) end
end
print(sum)
local grown = {}
for i = 1, 2000000 do grown[i] = i end
print(#grown)
LUA
    lua5.4 script.lua
}
compare
