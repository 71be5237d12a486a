import redis

client = redis.Redis()

DELETE = """
local keys = redis.call('KEYS', ARGV[1])
for i = 1, #keys do redis.call('DEL', keys[i]) end
return #keys
"""
COUNT = "return #redis.call('keys', ARGV[1])"
LOCK = "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) end"
script = client.register_script(DELETE)  # expect: UNS001


def count(prefix):
    return client.eval(COUNT, 0, prefix)  # expect: UNS002


def unlock(name, token):
    return client.eval(LOCK, 1, name, token)


def forget(prefix):
    return script(args=[prefix])


class Scripts:
    PURGE = """-- expect: UNS001
    local cursor = '0'
    repeat
        local found = redis.call("SCAN", cursor, "MATCH", ARGV[1])
        cursor = found[1]
        for _, key in ipairs(found[2]) do redis.call("UNLINK", key) end
    until cursor == '0'
    """

    def run(self, runner, prefix):
        return runner.go(self.PURGE, prefix)
