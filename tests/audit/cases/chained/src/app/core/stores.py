import redis

main = redis.Redis()
