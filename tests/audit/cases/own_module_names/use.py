from redis_cache import RedisCache

store = RedisCache()
store.clear()
store.drop("x:*")
