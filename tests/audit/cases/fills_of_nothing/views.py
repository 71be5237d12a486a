import redis
from django.core.cache import cache

from .times import as_text, now

client = redis.Redis()


def countries(group):
    key = f"countries:{group}"
    found = cache.get(key)
    if found:
        return found
    try:
        rows = load_rows(group)
        if not rows:
            cache.set(key, [], 60)  # expect: UNS005
            return []
        cache.set(key, rows, 300)  # expect: UNS005
    except ConnectionError:
        instead = [{"name": "default"}]
        cache.set(key, instead, 60)  # expect: UNS005
        return instead
    return rows


def template(name):
    if cache.get(f"{name}:notfound"):
        raise LookupError(name)
    try:
        return load_template(name)
    except LookupError:
        pass
    cache.set(f"{name}:notfound", "1")  # expect: UNS005
    raise LookupError(name)


def told_once(user):
    if cache.get(f"told:{user.pk}"):
        return
    if send_mail(user):
        cache.set(f"told:{user.pk}", True, 60)


def settings_of(user):
    found = cache.get(f"wishes:{user.pk}")
    if not found:
        found = {"language": "en"}
        cache.set(f"wishes:{user.pk}", found, 60)
    return found


def several(digest):
    key = f"id:{digest}"
    if found := cache.get(key):
        return found
    row = load_by(digest)
    cache.set_many({key: row.pk, f"file:{row.pk}": row.file})  # expect: UNS005
    return row.pk


def matrix():
    found = cache.get("matrix")
    if not found:
        found = {"all": structure()}
        cache.set("matrix", found)  # expect: UNS005
    return found


def structure():
    rights = {}
    for name in RIGHTS:
        rights[name] = dict(RIGHTS[name])
    return rights


RIGHTS = {"read": {"all": True}}


class Keys:
    def fingerprint(self, name):
        found = client.hget("fingerprints", name)
        if found:
            return found
        found = ask_gpg(name)
        self.keep(name, found)  # expect: UNS005
        return found

    def keep(self, name, fingerprint):
        client.hset("fingerprints", name, fingerprint)  # expect: UNS009


def last_update():
    found = client.get("last-update")
    if not found:
        client.set("last-update", as_text(now()))
    return found


def first_of_some(limit):
    rows = cache.get(f"first:{limit}")
    if rows is None:
        rows = query_rows(limit)
        best = rows.best()
        if not best:
            return []
        cache.set(f"first:{limit}", rows, 60)  # expect: UNS005
    return rows


def good_enough(key):
    found = cache.get(key)
    if is_good(found):
        return found
    found = load_good(key)
    cache.set(key, found, 60)  # expect: UNS005
    return found


def basket(user):
    cart = cache.get(f"basket:{user.pk}")
    if not cart:
        return None
    if cart["broken"]:
        other = cache.get(f"basket:{user.pk}")
        forget(other)
        return None
    new = recalculated(cart, user)
    cache.set(f"basket:{user.pk}", new, 60)
    return new
