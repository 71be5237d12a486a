"""Signatures: nobody who can merely write to Redis makes a value that is opened.

A signature covers the namespace, the key, the tags, the stamps, the server's identity, how the payload is encoded, and
the payload itself: an entry cannot be forged, altered, or moved under another key. Times are left out, since `touch`
writes them in place.

Keyed BLAKE2b (RFC 7693, section 2.9), 16 bytes, with a key derived for each namespace. The first key signs, every key
given is accepted: to rotate, put the new one in front, and drop the old one when its entries have expired.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from hmac import compare_digest
from typing import Final, TypeAlias

from unstale.core.layout import CHECK_AT, KEY_ID_SIZE, SIGNATURE_SIZE, STALE_TTL_AT, STAMPS_AT, TIMES_AT
from unstale.core.stamps import Observed
from unstale.errors import ConfigurationError, DecodeError

MAC_SIZE: Final = SIGNATURE_SIZE - KEY_ID_SIZE
MIN_KEY_BYTES: Final = 32
MIN_DISTINCT_BYTES: Final = 10
"""What no word and no repeated letter has; 32 random bytes in any common alphabet have more."""

Begun: TypeAlias = "dict[bytes, blake2b]"
"""For each key's id a signature that is begun with the key: to be copied, never added to."""
Verified: TypeAlias = "dict[bytes, bytes | tuple[tuple[bytes, Sequence[Observed], bytes], bytes]]"
"""By the names in an entry: the entry, with the stamps and the server under which it was fresh, and its body. Of an
entry that was verified once, only how it begins."""
Keys: TypeAlias = "str | bytes | Sequence[str | bytes]"


class Signer:
    """Signs payloads, and verifies them.

    Attributes:
        begun: see Begun.
        verified: see Verified; `fresh_body` keeps it.
    """

    __slots__ = ("_key_id", "begun", "verified")

    def __init__(self, keys: Keys, namespace: str) -> None:
        """Derive the keys.

        Args:
            keys: secrets of at least 32 bytes: one, or several of which the first signs.
            namespace: of the cache; another namespace's signatures do not count.

        Raises:
            ConfigurationError: no key, or one that can be guessed.
        """
        if not isinstance(keys, str | bytes | list | tuple):
            raise ConfigurationError(f"signing_keys must be str, bytes, or a list of them, not {type(keys).__name__}.")
        given = [keys] if isinstance(keys, str | bytes) else list(keys)
        if not given:
            raise ConfigurationError("signing_keys must hold at least one key.")
        derived = [_derived(_checked(key), namespace) for key in given]
        self.begun: Begun = {_key_id(key): blake2b(digest_size=MAC_SIZE, key=key) for key in reversed(derived)}
        self._key_id = _key_id(derived[0])
        self.verified: Verified = {}

    def sign(self, head: bytes, body: bytes) -> bytes:
        """The payload of a signed entry: key id, signature, body. A head shorter than any entry's is filled up."""
        head = head.ljust(STAMPS_AT, b"\0")
        mac = self.begun[self._key_id].copy()
        mac.update(head[:TIMES_AT] + head[STALE_TTL_AT:CHECK_AT] + head[STAMPS_AT:])
        mac.update(body)
        return b"".join((self._key_id, mac.digest(), body))

    def opened(self, head: bytes, payload: bytes) -> bytes:
        """The body of a signed payload.

        Args:
            head: everything in front of the payload.
            payload: what `sign` made.

        Raises:
            DecodeError: the key is not known, or the signature is not that of this head and body.
        """
        head = head.ljust(STAMPS_AT, b"\0")
        return self.opened_at(head + payload, len(head))

    def opened_at(self, data: bytes, at: int) -> bytes:
        """The same for a whole entry whose payload begins at `at`; on the hit path `fresh_body` does it."""
        signing = self.begun.get(data[at : at + KEY_ID_SIZE])
        if signing is None:
            raise DecodeError("The entry was signed with a key that this cache does not know.")
        body = data[at + SIGNATURE_SIZE :]
        mac = signing.copy()  # a sixth of the time that beginning one with the key takes
        mac.update(data[:TIMES_AT] + data[STALE_TTL_AT:CHECK_AT] + data[STAMPS_AT:at])
        mac.update(body)
        if not compare_digest(mac.digest(), data[at + KEY_ID_SIZE : at + SIGNATURE_SIZE]):
            raise DecodeError("The entry's signature is wrong.")
        return body


def _checked(key: object) -> bytes:
    if not isinstance(key, str | bytes):
        raise ConfigurationError(f"A signing key must be str or bytes, not {type(key).__name__}.")
    raw = key.encode() if isinstance(key, str) else key
    if len(raw) < MIN_KEY_BYTES or len(set(raw)) < MIN_DISTINCT_BYTES:
        raise ConfigurationError(
            f"A signing key must have at least {MIN_KEY_BYTES} random bytes; this one can be guessed. Make one with "
            'python -c "import secrets; print(secrets.token_urlsafe(48))", and keep it as you keep a password.'
        )
    return raw


def _derived(key: bytes, namespace: str) -> bytes:
    secret = blake2b(key, digest_size=64, person=b"unstale-key").digest()
    return blake2b(namespace.encode(), digest_size=32, key=secret, person=b"unstale-sign").digest()


def _key_id(key: bytes) -> bytes:
    return blake2b(b"", digest_size=KEY_ID_SIZE, key=key, person=b"unstale-id").digest()
