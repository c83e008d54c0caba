# SPDX-License-Identifier: Apache-2.0
"""Several observers of one run."""

from __future__ import annotations

from airflow_provider_aigen.core.models import ApiResponse, CallFailure, CommitEntry
from airflow_provider_aigen.ports import Observer

__all__ = ["Observers"]


class Observers:
    """An observer that hands everything on to others, in order."""

    def __init__(self, *observers: Observer) -> None:
        self._observers = observers

    def called(self, result: ApiResponse | CallFailure) -> None:
        for observer in self._observers:
            observer.called(result)

    def waited(self, seconds: float) -> None:
        for observer in self._observers:
            observer.waited(seconds)

    def repeated(self) -> None:
        for observer in self._observers:
            observer.repeated()

    def reused(self) -> None:
        for observer in self._observers:
            observer.reused()

    def breaker_opened(self) -> None:
        for observer in self._observers:
            observer.breaker_opened()

    def committed(self, entry: CommitEntry) -> None:
        for observer in self._observers:
            observer.committed(entry)

    def progress(self, *, waiting: int, rate: float, allowed: float) -> None:
        for observer in self._observers:
            observer.progress(waiting=waiting, rate=rate, allowed=allowed)
