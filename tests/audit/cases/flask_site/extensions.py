from flask_caching import Cache
from flask_redis import FlaskRedis

cache = Cache()
redis_store = FlaskRedis()
