r"""Members of sets and values of hashes as bytes, and back: equal ones are encoded equally, none is opened unverified.

    42                an integer, as digits: Redis's own commands can count it
    \\x00\\x02 …        text, bytes, a float, True, False or None, by MessagePack: nothing in it can run
    \\x00\\x01 …        anything else, by the cache's codec: signed, then the codec's number and the bytes

A signature covers the cache's namespace and the member, not the key: `sunionstore` and `smove` take members elsewhere.
After a change of SECRET_KEY signed members are read still (by SECRET_KEY_FALLBACKS), but are not equal to new ones.
"""

from __future__ import annotations

from typing import Any, Final

from unstale.core import codecs
from unstale.core.codecs import Codec
from unstale.core.signing import Signer
from unstale.errors import DecodeError, EncodeError

_PLAIN: Final = b"\0\2"
_SIGNED: Final = b"\0\1"
_PLAIN_KINDS: Final = (str, bytes, float, bool, type(None))
_HEAD: Final = b"\0member"
"""Stands for an entry's head in the signature: no entry begins with it, so neither passes for the other."""


class _Unreadable:
    """The type of UNREADABLE."""


UNREADABLE: Final = _Unreadable()
"""In place of a member: these bytes are none of ours, or not authentic."""


class Members:
    """How one cache encodes members."""

    def __init__(self, codec: Codec, signer: Signer | None) -> None:
        """Take the cache's codec, and what signs."""
        self._codec = codec
        self._signer = signer
        self._plain = codecs.codec_named("msgpack")

    def encode(self, value: Any, *, ranked: bool = False) -> bytes:  # noqa: ARG002 - django-redis's side needs it
        """Bytes of a member; `ranked` in a sorted set.

        Raises:
            pickle.PicklingError, TypeError: as the codec's library does.
        """
        if type(value) is int:
            return b"%d" % value
        if type(value) in _PLAIN_KINDS:
            return _PLAIN + self._plain.encode(value)
        try:
            number, body = codecs.encode(value, self._codec)
        except EncodeError as error:
            raise error.__cause__ or error  # noqa: B904 - its own cause is what the library raised
        body = bytes([number]) + body
        return _SIGNED + (body if self._signer is None else self._signer.sign(_HEAD, body))

    def decode(self, member: bytes) -> Any:
        """A member again, or UNREADABLE."""
        kind, payload = member[:2], member[2:]
        try:
            if kind == _PLAIN:
                return self._plain.decode(memoryview(payload))
            if kind == _SIGNED:
                body = payload if self._signer is None else self._signer.opened(_HEAD, payload)
                return self._opened(body)
            return int(member)
        except (DecodeError, ValueError):
            return UNREADABLE

    def _opened(self, body: bytes) -> Any:
        if not body or (self._signer is None and body[0] == codecs.PICKLE):
            raise DecodeError("A pickle that is not signed is not opened.")
        return codecs.decode(body[0], memoryview(body)[1:], self._codec)
