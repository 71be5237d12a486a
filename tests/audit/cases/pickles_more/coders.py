import io
import pickle
from pathlib import Path

from django.core.cache import cache
from fastapi_cache.coder import JsonCoder, PickleCoder
from fastapi_cache.decorator import cache as kept


def cached(coder=None, other=JsonCoder):
    if coder is None:
        coder = PickleCoder  # expect: UNS008
    return kept(expire=60, coder=coder)


class Opener(pickle.Unpickler):
    def find_class(self, module, name):
        return super().find_class(module, name)


def opened(key):
    return Opener(io.BytesIO(cache.get(key))).load()  # expect: UNS008


def opened_by_name(key):
    opener = pickle.Unpickler(io.BytesIO(cache.get(key)))
    return opener.load()  # expect: UNS008


def of_a_file(path):
    return Opener(io.BytesIO(Path(path).read_bytes())).load()
