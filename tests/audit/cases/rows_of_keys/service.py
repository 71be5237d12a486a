import json

from redis import Redis
from sqlalchemy import select

redis = Redis()


class Users:
    def put(self, key, data):
        redis.setex(key, 60, json.dumps(data))

    def by_id(self, user_id):
        found = redis.get(f"user:{user_id}")
        if found:
            return json.loads(found)
        result = self.db.execute(select(User).where(User.id == user_id))
        user = result.scalar_one_or_none()
        if not user:
            raise LookupError(user_id)
        self.put(f"user:{user.id}", as_dict(user))  # expect: UNS005
        return user

    def by_email(self, email):
        found = redis.get(f"user:email:{email}")
        if found:
            return json.loads(found)
        user = self.db.find(User, email=email)
        if user:
            redis.set(f"user:email:{user.email}", json.dumps(as_dict(user)), ex=60)  # expect: UNS005
        return user

    def by_pk(self, request):
        found = redis.get(f"user:{request.user_id}")
        if found:
            return json.loads(found)
        user = self.db.find(User, pk=request.user_id)
        redis.set(f"user:{user.pk}", json.dumps(as_dict(user)), ex=60)  # expect: UNS005
        return user

    def under_another_field(self, user_id):
        found = redis.get(f"user:{user_id}")
        if found:
            return json.loads(found)
        user = self.db.find(User, user_id)
        redis.set(f"user:{user.name}", json.dumps(as_dict(user)), ex=60)
        return user

    def under_another_word(self, user_id):
        found = redis.get(f"user:{user_id}")
        if found:
            return json.loads(found)
        user = self.db.find(User, user_id)
        redis.set(f"person:{user.id}", json.dumps(as_dict(user)), ex=60)
        return user

    def of_another_row(self, user_id):
        found = redis.get(f"user:{user_id}")
        if found:
            return json.loads(found)
        first = self.db.first(User)
        redis.set(f"user:{first.id}", json.dumps(as_dict(first)), ex=60)
        return first

    def of_two_values(self, user_id, other_id):
        found = redis.get(f"pair:{user_id}:{other_id}")
        if found:
            return json.loads(found)
        user, other = self.db.pair(user_id, other_id)
        redis.set(f"pair:{other.id}:{user.id}", json.dumps(as_dict(user)), ex=60)
        return user
