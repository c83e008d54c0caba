# SPDX-License-Identifier: Apache-2.0
"""Waiting for what tells nobody when it happens: another program's state, or the kernel's."""

from __future__ import annotations

from collections.abc import Callable
from operator import not_
from typing import TypeVar

from tenacity import RetryError, Retrying, retry_if_result, stop_after_delay, wait_fixed

__all__ = ["until"]

T = TypeVar("T")


def until(what: str, holds: Callable[[], T], *, limit_s: float = 600.0, pause_s: float = 0.5) -> T:
    """The first true answer of ``holds``, asked every ``pause_s``. Raises ``TimeoutError`` with ``what`` after
    ``limit_s``, and whatever ``holds`` raises."""
    asked = Retrying(retry=retry_if_result(not_), wait=wait_fixed(pause_s), stop=stop_after_delay(limit_s))
    try:
        return asked(holds)
    except RetryError:
        raise TimeoutError(what) from None
