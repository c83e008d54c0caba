# SPDX-License-Identifier: Apache-2.0
"""The state's codecs, real or cheap. A schedule's time would go into JSON and gzip, which are tested elsewhere and are
the same in every schedule: so most have *tokens*, bytes that stand for the value itself; one in 16 has the real ones.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from airflow_provider_aigen.adapters import codec as codecs

__all__ = ["use"]

_CODECS = (codecs.ANSWER, codecs.BATCH, codecs.CLAIM, codecs.COMMIT, codecs.PLAN, codecs.REPORT)
_REMEMBERED = 1024
_METHODS = ("to_json", "to_gzip", "from_gzip")


def use(*, real: bool) -> None:
    """From now on, until the next call."""
    for number, codec in enumerate(_CODECS):
        for name in _METHODS:
            codec.__dict__.pop(name, None)
        if real:
            codec.from_gzip = lru_cache(_REMEMBERED)(codec.from_gzip)  # type: ignore[attr-defined]
        else:
            _Tokens(number).stand_in_for(codec)


class _Tokens:
    def __init__(self, kind: int) -> None:
        self._kind = kind
        self._values: list[Any] = []

    def stand_in_for(self, codec: Any) -> None:
        codec.to_json = self.token
        codec.to_gzip = self.token
        codec.from_gzip = self.value

    def token(self, value: Any, *, indent: int | None = None) -> bytes:
        self._values.append(value)
        return b"%d.%d" % (self._kind, len(self._values) - 1)

    def value(self, token: bytes) -> Any:
        kind, _, number = token.partition(b".")
        assert int(kind) == self._kind, "another kind of object is read than was written there"
        return self._values[int(number)]
