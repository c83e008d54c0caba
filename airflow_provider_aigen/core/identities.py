# SPDX-License-Identifier: Apache-2.0
"""What a document, a run and a destination's settings are: part of :mod:`~airflow_provider_aigen.core.models`, which
names what flows in order and exports these too."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import lru_cache
from json.encoder import encode_basestring_ascii as _json

__all__ = ["OutputSettings", "RunIdentity", "SourceObject"]


@dataclass(frozen=True, slots=True)
class SourceObject:
    """One object of the source prefix, as the listing or the plan names it. ``etag`` is without quotes."""

    bucket: str
    key: str = field(repr=False)  # a key may hold a plate: it enters no log, so no repr
    etag: str
    size: int
    last_modified: datetime
    version_id: str | None = None

    @property
    def document_id(self) -> str:
        """32 hex digits over bucket, key and version id or ETag: a replaced object is a new document (design §3)."""
        if self.is_erased:
            return self.key
        return _document_id(self.bucket, self.key, self.version_id or self.etag)

    @property
    def uri(self) -> str:
        return f"s3://{self.bucket}/{self.key}"

    @property
    def is_erased(self) -> bool:
        """Whether only the id is left: it stands as the key, and there is no bucket."""
        return not self.bucket

    @classmethod
    def erased(cls, document_id: str) -> SourceObject:
        """What is left of a document that is erased."""
        return cls("", document_id, "", 0, datetime(1970, 1, 1, tzinfo=UTC))


# It is asked for some twenty times on a document's way.
@lru_cache(maxsize=4096)
def _document_id(bucket: str, key: str, version_or_etag: str) -> str:
    # A JSON list keeps the three apart whatever characters they hold. Written so, it takes a third of the time.
    identity = f"[{_json(bucket)}, {_json(key)}, {_json(version_or_etag)}]"
    return hashlib.sha256(identity.encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class RunIdentity:
    """Whose run it is. A try number is no part of it: a retry or a clear works on the same plan (design §3).

    ``parameters`` is a digest of the rendered source and settings (``core.planning.parameters_digest``): cleared with
    other ones, a task makes a new plan. It is empty in the state of version 0.1."""

    dag_id: str
    task_id: str
    run_id: str
    map_index: int = -1
    parameters: str = ""

    @property
    def run_key(self) -> str:
        """32 hex digits, the name of the run in the state. A mapped task's instances have plans of their own."""
        identity = [self.dag_id, self.task_id, self.run_id]
        if self.map_index >= 0:
            identity.append(str(self.map_index))
        if self.parameters:
            identity.append(f"parameters {self.parameters}")
        return hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:32]

    @property
    def task_key(self) -> str:
        """16 hex digits for the task instance, whatever its parameters are."""
        return replace(self, parameters="").run_key[:16]


@dataclass(frozen=True, slots=True)
class OutputSettings:
    """Every setting that changes what a commit writes: it travels in plan and commit, so that the one who finishes a
    commit writes the same bytes to the same places. ``partition`` is ``""`` or ``name=value[/name=value…]``.
    ``dead_letter_suffix`` follows the ``document_id`` in the names of dead letters, where another destination has the
    same dead-letter prefix already. ``record_schema`` has the fields and types of ``records``; where it is empty, as in
    the commits of older versions, the commit has no part of that table."""

    document_type: str
    destination: str
    dead_letter: str
    partition: str
    min_confidence: float | None = None
    copy_image: bool = True
    dead_letter_suffix: str = ""
    record_schema: tuple[tuple[str, str], ...] = ()
