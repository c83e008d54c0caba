# SPDX-License-Identifier: Apache-2.0
"""Metrics that are kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

__all__ = ["RecordedMetrics"]


class RecordedMetrics:
    """``ports.Metrics``: sums of the counters, all durations, the last value of each gauge, each by
    ``name[tag=value,…]``."""

    def __init__(self) -> None:
        self.counters: Counter[str] = Counter()
        self.timings: dict[str, list[float]] = {}
        self.gauges: dict[str, float] = {}

    def incr(self, name: str, count: int = 1, *, tags: Mapping[str, str] | None = None) -> None:
        self.counters[_tagged(name, tags)] += count

    def timing(self, name: str, seconds: float, *, tags: Mapping[str, str] | None = None) -> None:
        self.timings.setdefault(_tagged(name, tags), []).append(seconds)

    def gauge(self, name: str, value: float, *, tags: Mapping[str, str] | None = None) -> None:
        self.gauges[_tagged(name, tags)] = value


def _tagged(name: str, tags: Mapping[str, str] | None) -> str:
    return f"{name}[{','.join(f'{tag}={value}' for tag, value in sorted((tags or {}).items()))}]"
