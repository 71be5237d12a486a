from redis import Redis

store = Redis()
