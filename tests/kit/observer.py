# SPDX-License-Identifier: Apache-2.0
"""An observer that keeps what it was told."""

from __future__ import annotations

from collections import Counter

from airflow_provider_aigen.core.models import ApiResponse, CallFailure, CommitEntry

__all__ = ["RecordingObserver"]


class RecordingObserver:
    """``ports.Observer``: every result, wait and entry, how often each of the rest was told, and the last progress."""

    def __init__(self) -> None:
        self.results: list[ApiResponse | CallFailure] = []
        self.waits: list[float] = []
        self.entries: list[CommitEntry] = []
        self.times: Counter[str] = Counter()
        self.last: dict[str, float] = {}

    def called(self, result: ApiResponse | CallFailure) -> None:
        self.results.append(result)

    def waited(self, seconds: float) -> None:
        self.waits.append(seconds)

    def repeated(self) -> None:
        self.times["repeated"] += 1

    def reused(self) -> None:
        self.times["reused"] += 1

    def breaker_opened(self) -> None:
        self.times["breaker_opened"] += 1

    def committed(self, entry: CommitEntry) -> None:
        self.entries.append(entry)

    def progress(self, *, waiting: int, rate: float, allowed: float) -> None:
        self.last = {"waiting": waiting, "rate": rate, "allowed": allowed}
