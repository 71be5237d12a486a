import pickle
import uuid

import redis
from flask.sessions import SessionInterface


class RedisSessionInterface(SessionInterface):
    serializer = pickle

    def __init__(self, client=None, prefix="session:"):
        self.redis = client or redis.Redis()
        self.prefix = prefix

    def open_session(self, app, request):
        sid = request.cookies.get("sid") or str(uuid.uuid4())
        raw = self.redis.get(self.prefix + sid)
        if raw is not None:
            return self.serializer.loads(raw)  # expect: UNS008
        return {}

    def save_session(self, session):
        self.redis.setex(self.prefix + session.sid, 3600, self.serializer.dumps(dict(session)))
        session.clear()


class TokenStore:
    def __init__(self):
        self.redis = redis.Redis()

    def create(self, user):
        token = uuid.uuid4().hex
        self.redis.set(f"token:{token}", user.pk)
        return token

    def token_for(self, service):
        token = self.redis.get(f"access:{service}")
        if not token:
            token = request_token(service)
            self.redis.set(f"access:{service}", token, ex=300)  # expect: UNS005
        return token
