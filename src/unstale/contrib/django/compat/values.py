"""django-redis's serializers, compressors and clients in our words: what they name, and what stands for them here.

Classes are known by module and name, so that nothing of django-redis, or of its fork django-valkey, need be installed.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from django.core.exceptions import ImproperlyConfigured
from django.core.serializers.json import DjangoJSONEncoder

from unstale.contrib.django.importing import imported
from unstale.contrib.django.notices import warn_once
from unstale.core.codecs import Codec
from unstale.errors import DecodeError, EncodeError

PEERS: Final = ("django_redis", "django_valkey")
_OWN_NUMBER: Final = 64
"""Of a serializer of the project's own. Another one in its place reads its values or, more likely, misses."""
_JSON_NUMBER: Final = 65


def known_as(path: object) -> str:
    """The class name of a dotted path into django-redis, django-valkey or Django; "" for whatever is not theirs."""
    if not isinstance(path, str):
        return ""
    module, _, name = path.rpartition(".")
    return name if module.split(".")[0] in (*PEERS, "django") else ""


# Serializers


@dataclass(slots=True, eq=False)
class SerializerCodec:
    """A codec over a serializer: an object with `dumps` and `loads`, as django-redis and Django have them.

    Attributes:
        serializer: the object.
        number: the codec's.
    """

    serializer: Any
    number: int = _OWN_NUMBER

    def encode(self, value: Any) -> bytes:
        """What the serializer makes of a value; a number (Django's own gives ints as they are) as its digits."""
        try:
            made = self.serializer.dumps(value)
            made = str(made) if type(made) is int else made
            return made.encode() if isinstance(made, str) else bytes(made)
        except Exception as error:
            raise EncodeError(f"{type(self.serializer).__name__} cannot carry this {type(value).__name__}.") from error

    def decode(self, payload: memoryview) -> Any:
        """The value again."""
        try:
            return self.serializer.loads(bytes(payload))
        except Exception as error:
            raise DecodeError(f"{type(self.serializer).__name__} cannot read the payload.") from error


class DjangoJson:
    """JSON as django-redis writes it: dates, decimals, UUIDs and lazy strings become text."""

    def dumps(self, value: Any) -> bytes:
        """Encode."""
        return json.dumps(value, cls=DjangoJSONEncoder).encode()

    def loads(self, payload: bytes) -> Any:
        """Decode."""
        return json.loads(payload)


def codec_of(serializer: Any, options: Mapping[str, Any]) -> str | Codec:
    """The codec for SERIALIZER, or for `serializer` of Django's own RedisCache.

    Args:
        serializer: a dotted path, a class, a function that makes one, or an object.
        options: what django-redis gives a serializer.

    Raises:
        ImproperlyConfigured: it cannot be imported, or has no `dumps` and `loads`.
    """
    match known_as(serializer):
        case "PickleSerializer" | "RedisSerializer":
            return "pickle"
        case "MSGPackSerializer":
            return "msgpack"
        case "JSONSerializer":
            return SerializerCodec(DjangoJson(), _JSON_NUMBER)
    made = _made(imported(serializer, "SERIALIZER"), options)
    if not callable(getattr(made, "dumps", None)) or not callable(getattr(made, "loads", None)):
        raise ImproperlyConfigured(f"SERIALIZER {serializer!r} has no dumps and loads.")
    return SerializerCodec(made)


def _made(kind: Any, options: Mapping[str, Any]) -> Any:
    """An object of a class: django-redis gives it its options, Django gives it nothing."""
    if not callable(kind):
        return kind
    try:
        return kind(options=dict(options))
    except TypeError:
        return kind()


# Compressors

_COMPRESSIONS: Final = {"ZlibCompressor": "zlib", "Lz4Compressor": "lz4", "ZStdCompressor": "zstd"}
_NEAREST: Final = {"GzipCompressor": "zlib", "LzmaCompressor": "zstd"}
_NEEDS: Final = {"lz4": "lz4", "zstd": "zstandard", "zlib": "zlib"}


def compression_of(compressor: Any) -> str | None:
    """The compression for COMPRESSOR: the same one, or the nearest that there is, with a warning."""
    name = known_as(compressor)
    if name == "IdentityCompressor":
        return None
    same = _COMPRESSIONS.get(name)
    wanted = same or _NEAREST.get(name, "auto")
    found = wanted if wanted == "auto" or importlib.util.find_spec(_NEEDS[wanted]) else "auto"
    if found != same:
        install = f" Install it with pip install 'unstale[{wanted}]'." if found != wanted else ""
        what = f"{wanted} is not installed here" if same else "unstale has no such compression"
        warn_once(f"COMPRESSOR {compressor!r}: {what}; values are compressed by {_named(found)}.{install}")
    return found


def _named(compression: str) -> str:
    return "the first of lz4, zstd and zlib that is installed" if compression == "auto" else compression


# Clients

_SHARDED: Final = (
    "CLIENT_CLASS ShardClient is not supported: it spreads keys over servers that know nothing of each other, so a tag "
    "of which keys lie on several has no one stamp. Name one server in LOCATION; one write invalidates there."
)


def herd_of(client: Any) -> bool:
    """Look at CLIENT_CLASS; whether it is HerdClient or made of it.

    A class of the project's own is ignored, with a warning that lists what it overrides.

    Raises:
        ImproperlyConfigured: it spreads keys over servers, or cannot be imported.
    """
    name = known_as(client)
    if name in ("DefaultClient", "SentinelClient"):
        return False
    if name == "HerdClient":
        return True
    if name == "ShardClient":
        raise ImproperlyConfigured(_SHARDED)
    kind = imported(client, "CLIENT_CLASS")
    bases = [base for base in getattr(kind, "__mro__", ()) if base.__module__.split(".")[0] in PEERS]
    if any(base.__name__ == "ShardClient" for base in bases):
        raise ImproperlyConfigured(_SHARDED)
    own = overridden(kind)
    warn_once(
        f"CLIENT_CLASS {client!r} is not used: unstale has no client to put a class of yours in the place of. "
        f"What it overrides has no effect: {', '.join(own) or 'nothing'}. Pipelined or batched deletes are not needed: "
        "a delete_pattern of a declared pattern is one write. Put what else it does into a subclass of UnstaleCache."
    )
    return any(base.__name__ == "HerdClient" for base in bases)


def overridden(kind: Any) -> list[str]:
    """The methods that a class and its bases outside django-redis define."""
    own = [base for base in getattr(kind, "__mro__", ()) if base.__module__.split(".")[0] not in (*PEERS, "builtins")]
    names = {name for base in own for name, value in vars(base).items() if callable(value) and name != "__init__"}
    return sorted(name for name in names if not name.startswith("__"))
