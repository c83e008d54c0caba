# SPDX-License-Identifier: Apache-2.0
"""The state's codecs, real or cheap. A schedule's time would go into JSON and gzip, which are tested elsewhere and are
the same in every schedule: so most have *tokens*, bytes that stand for the value itself; one in 16 has the real ones.
The records of dead letters are JSON in all of them, but only those that are real are set out for a person.
"""

from __future__ import annotations

import json
from functools import lru_cache
from itertools import count
from types import SimpleNamespace
from typing import Any

from pydantic_core import from_json, to_json

from airflow_provider_aigen.adapters.state import codec as codecs
from airflow_provider_aigen.adapters.state import ownership
from airflow_provider_aigen.adapters.tables import dead_letters

__all__ = ["use"]

_CODECS = (codecs.ANSWER, codecs.BATCH, codecs.CLAIM, codecs.COMMIT, codecs.PLAN, codecs.REPORT, codecs.SPEND)
_REMEMBERED = 1024
_COMPACT = SimpleNamespace(dumps=lambda record, **_: to_json(record).decode(), loads=from_json)
_METHODS = ("to_json", "to_gzip", "from_gzip", "read", "read_json")


def use(*, real: bool) -> None:
    """From now on, until the next call."""
    ids = count(1)
    ownership._new_id = lambda: f"{next(ids):012x}"  # equal seeds have equal states
    dead_letters.json = json if real else _COMPACT  # type: ignore[attr-defined]
    for number, codec in enumerate(_CODECS):
        for name in _METHODS:
            codec.__dict__.pop(name, None)
        if real:
            codec.read = lru_cache(_REMEMBERED)(codec.read)  # type: ignore[attr-defined]
        else:
            _Tokens(number).stand_in_for(codec)


class _Tokens:
    def __init__(self, kind: int) -> None:
        self._kind = kind
        self._values: dict[bytes, Any] = {}

    def stand_in_for(self, codec: Any) -> None:
        codec.to_json = self.token
        codec.to_gzip = self.token
        codec.read_json = lambda data: self._values.get(data.removesuffix(b"\n"))
        codec.read = self._values.get  # no other kind's token is found there, nor is damage

    def token(self, value: Any, *, indent: int | None = None) -> bytes:
        token = b"%d.%d" % (self._kind, len(self._values))
        self._values[token] = value
        return token
