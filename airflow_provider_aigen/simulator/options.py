# SPDX-License-Identifier: Apache-2.0
"""What the simulator can be told, at its start and while it runs. Checked when made; units in the names."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any, TypeGuard

__all__ = ["DEFAULT_KEY", "FAULTS", "Options"]

DEFAULT_KEY = "simulator-key-0000"
DOCUMENTS = ("vehicle-registration-book/v2", "idcard/v2", "driver-license/v2", "passport-ocr/v2")
# What can go wrong with a call besides an answer of the contract. Numbers: a status with a body as a gateway or the
# service sends it; reset, close, cut: connection broken after the body was read (before an answer, or within one);
# hang: no answer at all. The rest of the names are bodies with status 200: see faults.MALFORMED.
FAULTS = ("500", "502", "503", "504", "reset", "close", "cut", "hang")
_FIXED = ("host", "port")
_SHARES = ("error_share", "reset_share", "malformed_share", "latency_jitter")


@dataclasses.dataclass(frozen=True, slots=True)
class Options:
    """Settings of a simulator. ValueError names the setting that is wrong.

    - ``port`` 0: a free one. ``keys`` are let in, ``forbidden_keys`` are known but get 403 (contract, Codes).
    - ``documents``: the ``<document>/<version>`` that are served; any other is 404.
    - ``codes``: ``"v2"`` or ``"later"``, the family of error codes (contract, Codes).
    - ``latency_ms`` of each answer, give or take ``latency_jitter`` (0 to 1) of it.
    - ``rate_limit``: calls let through in any sliding second; more get 429. ``retry_after`` is that answer's header,
      sent as it stands (seconds, a date, nonsense), None for no header.
    - ``credit``: calls that are billed before 429 without Retry-After; None: no end.
    - ``outage`` is on until it is switched off; ``outage_seconds`` holds (start, length) counted from the start or the
      last reset, ``outage_calls`` (first, last) call, both from 1 and inclusive. ``outage_fault`` is one of `FAULTS`.
    - ``error_share``, ``reset_share``, ``malformed_share``: shares (0 to 1) of the calls that fail in passing. The next
      call with the same bytes passes.
    - ``seed`` decides, with the image's hash and the number of calls with these bytes before; the order of arrival does
      not.
    - ``price_per_call``: in any currency; multiplied, never converted.
    """

    host: str = "127.0.0.1"
    port: int = 0
    keys: tuple[str, ...] = (DEFAULT_KEY,)
    forbidden_keys: tuple[str, ...] = ()
    documents: tuple[str, ...] = DOCUMENTS
    codes: str = "v2"
    latency_ms: float = 0.0
    latency_jitter: float = 0.0
    rate_limit: int | None = None
    retry_after: str | None = "1"
    credit: int | None = None
    outage: bool = False
    outage_seconds: tuple[tuple[float, float], ...] = ()
    outage_calls: tuple[tuple[int, int], ...] = ()
    outage_fault: str = "503"
    error_share: float = 0.0
    reset_share: float = 0.0
    malformed_share: float = 0.0
    seed: int = 0
    price_per_call: float = 1.0

    def __post_init__(self) -> None:
        for names, holds, expected in _RULES:
            for name in names:
                if not holds(getattr(self, name)):
                    raise ValueError(f"{name}: {expected}")
        if self.error_share + self.reset_share + self.malformed_share > 1:
            raise ValueError("error_share, reset_share and malformed_share: together at most 1")

    def changed(self, changes: Mapping[str, Any]) -> Options:
        """These options with some changed, as they come from JSON: lists for tuples. ValueError as above."""
        names = {field.name for field in dataclasses.fields(self)} - set(_FIXED)
        if unknown := sorted(set(changes) - names):
            raise ValueError(f"not an option, or fixed at the start: {', '.join(unknown)}")
        return dataclasses.replace(self, **{name: _tuples(value) for name, value in changes.items()})

    def shown(self) -> dict[str, Any]:
        """As JSON, without the keys themselves."""
        return dataclasses.asdict(self) | {"keys": len(self.keys), "forbidden_keys": len(self.forbidden_keys)}


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _are_texts(value: object) -> bool:
    return isinstance(value, tuple) and all(isinstance(item, str) for item in value)


def _are_pairs(value: object) -> bool:
    return isinstance(value, tuple) and all(len(pair) == 2 and all(map(_is_number, pair)) for pair in value)


# Option names, what holds of each, what the message says is expected.
_RULES: tuple[tuple[tuple[str, ...], Callable[[Any], bool], str], ...] = (
    (("keys",), lambda value: _are_texts(value) and len(value) > 0, "a list of at least one text"),
    (("forbidden_keys", "documents"), _are_texts, "a list of texts"),
    (("outage_seconds", "outage_calls"), _are_pairs, "pairs of numbers"),
    (("port", "seed"), _is_whole, "a whole number"),
    (("rate_limit",), lambda value: value is None or (_is_whole(value) and value >= 1), "a whole number from 1"),
    (("credit",), lambda value: value is None or (_is_whole(value) and value >= 0), "a whole number from 0"),
    (("latency_ms", "price_per_call"), lambda value: _is_number(value) and value >= 0, "a number from 0"),
    (_SHARES, lambda value: _is_number(value) and 0 <= value <= 1, "a number from 0 to 1"),
    (("outage",), lambda value: isinstance(value, bool), "true or false"),
    (("retry_after",), lambda value: value is None or isinstance(value, str), "a text or nothing"),
    (("codes",), lambda value: value in ("v2", "later"), "v2 or later"),
    (("outage_fault",), lambda value: value in FAULTS, f"one of {', '.join(FAULTS)}"),
)
