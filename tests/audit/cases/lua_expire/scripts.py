PURGE = """  -- expect: UNS001
local names = redis.call('KEYS', ARGV[1] .. '*')
for _, name in ipairs(names) do
    redis.call('EXPIRE', name, 0)
end
"""

PROLONG = """  -- expect: UNS002
for _, name in ipairs(redis.call('KEYS', ARGV[1] .. '*')) do
    redis.call('EXPIRE', name, 600)
end
"""
