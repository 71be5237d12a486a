import redis


def get_client():
    return redis.Redis()
