# SPDX-License-Identifier: Apache-2.0
"""How many copies of something large a piece of work holds at once."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable

__all__ = ["most_held"]


def most_held(work: Callable[[], object]) -> int:
    """The most bytes that Python held at once beyond what it held before ``work``."""
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        work()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return peak - before
