"""A set is refused if a tag of its key was invalidated since the get."""

from django.core.cache import cache, caches


def orders(user):
    found = cache.get(f"user:{user.pk}:orders")
    if found is None:
        found = list(user.orders.all())
        cache.set(f"user:{user.pk}:orders", found, 300)
    return found


def page(slug, render):
    found = caches["pages"].get("page:" + slug + ":html")
    if found is None:
        found = render(slug)
        caches["pages"].set("page:" + slug + ":html", found)
    return found


def tagged(user):
    found = cache.get("tagged", tags=["users"])
    if found is None:
        found = list(user.friends.all())
        cache.set("tagged", found, tags=["users"])
    return found


def tagged_late(user):
    found = cache.get("tagged_late")
    if found is None:
        found = list(user.friends.all())
        cache.set("tagged_late", found, tags=["users"])  # expect: UNS005
    return found


def without_a_tag(user):
    found = cache.get(f"friends:{user.pk}")
    if found is None:
        found = list(user.friends.all())
        cache.set(f"friends:{user.pk}", found)  # expect: UNS005
    return found


def of_another_cache(slug, render):
    found = cache.get(f"page:{slug}:html")
    if found is None:
        found = render(slug)
        cache.set(f"page:{slug}:html", found)  # expect: UNS005
    return found


def asked_for_only(user):
    if not cache.has_key(f"user:{user.pk}:friends"):
        cache.set(f"user:{user.pk}:friends", list(user.friends.all()))  # expect: UNS005
    return True


def deleted_by_its_key(user):
    found = cache.get(f"user:{user.pk}:count")
    if found is None:
        found = user.orders.count()
        cache.set(f"user:{user.pk}:count", found)  # expect: UNS005
    return found


def ordered(user_id):
    cache.delete(f"user:{user_id}:count")
