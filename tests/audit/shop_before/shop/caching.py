"""The shop's helpers."""

from django.core.cache import cache

TTL = 300


def history_key(user_id: int, limit: int) -> str:
    return f"user:{user_id}:orders:{limit}"


def forget_user(user_id: int) -> None:
    cache.delete_pattern(f"user:{user_id}:*")  # expect: UNS001


def forget_catalogue() -> None:
    cache.delete_many(cache.keys("catalogue:*"))  # expect: UNS001


def statistics() -> int:
    return len(cache.keys("*"))  # expect: UNS002
