"""A codec for tests that needs nothing installed."""

from __future__ import annotations

import hashlib
import hmac
import os


class Toy:
    """A TOY, good for tests only: a keystream of SHA-256 and a tag. Whoever has secrets takes a real codec."""

    def __init__(self, key=b"first"):
        self.key = key
        self.opened = self.made = 0  # how often it was asked

    def _mask(self, nonce, data):
        stream = b"".join(hashlib.sha256(self.key + nonce + block.to_bytes(4, "big")).digest() for block in range(len(data) // 32 + 1))
        return (int.from_bytes(data, "big") ^ int.from_bytes(stream[: len(data)], "big")).to_bytes(len(data), "big")

    def _tag(self, data):
        return hmac.digest(self.key, data, "sha256")[:16]

    def encrypt(self, data):
        self.made += 1
        nonce = os.urandom(12)
        sealed = nonce + self._mask(nonce, data)
        return self._tag(sealed) + sealed

    def decrypt(self, data):
        self.opened += 1
        tag, sealed = data[:16], data[16:]
        if not hmac.compare_digest(tag, self._tag(sealed)):
            raise ValueError("another key, or altered")
        return self._mask(sealed[:12], sealed[12:])
