from django.core.cache import cache

KEY = "board:ver"


def board_version():
    version = cache.get(KEY)
    if not version:
        version = 1
        cache.set(KEY, version, None)
    return version


def next_board():
    cache.set("board:generation", board_version() + 1, None)


def board_versions(pk):
    cache.set(f"board:{pk}:versions", [one.number for one in load_versions(pk)], None)  # expect: UNS009
