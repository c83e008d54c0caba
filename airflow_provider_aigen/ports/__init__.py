# SPDX-License-Identifier: Apache-2.0
"""What the pipeline needs from outside, as protocols. The adapters fulfil them, and the tests' fakes.

Every port raises the exceptions of :mod:`~airflow_provider_aigen.core.errors` and no others: a ``PermanentError`` or
``TransientError`` stops the run, an ``ObjectStoreCondition`` is an answer that the protocol waits for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from airflow_provider_aigen.core.document.content_encoding import Decoder
from airflow_provider_aigen.ports.endpoint import Clock, OcrClient, RateLimiter, Turn
from airflow_provider_aigen.ports.results import DeadLetters, NoObserver, Observer, Tables
from airflow_provider_aigen.ports.state import LATER_ID, Ledger, RunsToWrite, StateStore, StoredSpend
from airflow_provider_aigen.ports.storage import Manifests, ObjectStore, StoredObject, Versions

__all__ = [
    "LATER_ID",
    "Clock",
    "DeadLetters",
    "Ledger",
    "Manifests",
    "NoObserver",
    "ObjectStore",
    "Observer",
    "OcrClient",
    "Ports",
    "RateLimiter",
    "RunsToWrite",
    "StateStore",
    "StoredObject",
    "StoredSpend",
    "Tables",
    "Turn",
    "Versions",
]


@dataclass(frozen=True, slots=True)
class Ports:
    """Everything outside that a run works with. ``new_ledger`` gives an empty ledger; ``writer_id`` is unique to this
    process; ``jitter`` gives numbers from 0 to 1; ``decoders`` has encodings of objects by the names that
    ``Content-Encoding`` has for them."""

    source: ObjectStore
    ocr: OcrClient
    limiter: RateLimiter
    clock: Clock
    state: StateStore
    tables: Tables
    dead_letters: DeadLetters
    manifests: Manifests
    new_ledger: Callable[[], Ledger]
    writer_id: str
    jitter: Callable[[], float]
    observer: Observer = field(default_factory=NoObserver)
    decoders: Mapping[str, Decoder] = field(default_factory=dict)
