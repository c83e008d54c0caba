# SPDX-License-Identifier: Apache-2.0
"""A kept answer and what it says, read once on its way from the call to the commit.

The bytes are parsed when the call is classified, and the answer is flattened when its reading is made. They are read
again only where the answer at hand is not the call's own: another process's stands, or it was found in the store.
"""

from __future__ import annotations

from dataclasses import dataclass

from airflow_provider_aigen.core.document.flatten import flatten
from airflow_provider_aigen.core.models import FieldRow, KeptAnswer
from airflow_provider_aigen.core.service.classify import Extracted, Verdict, classify_kept

__all__ = ["Reading", "read"]


@dataclass(frozen=True, slots=True)
class Reading:
    """A kept answer, its verdict and its field rows, which are empty unless the verdict is ``Extracted``."""

    kept: KeptAnswer
    verdict: Verdict
    rows: tuple[FieldRow, ...]


def read(kept: KeptAnswer, verdict: Verdict | None = None) -> Reading:
    """The reading of ``kept``. ``verdict`` is that of the call which was just made, where there was one: then the bytes
    need not be parsed again."""
    verdict = verdict or classify_kept(kept)
    return Reading(kept, verdict, flatten(verdict.answer) if isinstance(verdict, Extracted) else ())
