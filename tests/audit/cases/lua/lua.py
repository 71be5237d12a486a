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
