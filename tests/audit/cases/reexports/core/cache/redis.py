import redis as redis_lib

connection = redis_lib.StrictRedis.from_url("redis://")
