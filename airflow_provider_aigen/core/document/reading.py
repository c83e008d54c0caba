# SPDX-License-Identifier: Apache-2.0
"""A kept answer and what it says, read once on its way from the call to the commit.

The bytes are parsed, and their fields made rows, when the call is classified. They are read again only where the answer
at hand is not the call's own: another process's stands, or it was found in the store.
"""

from __future__ import annotations

from dataclasses import dataclass

from airflow_provider_aigen.core.models import NO_ROWS, FieldRows, KeptAnswer
from airflow_provider_aigen.core.service.classify import classify_kept
from airflow_provider_aigen.core.service.verdicts import Extracted, Verdict

__all__ = ["Reading", "read"]


@dataclass(frozen=True, slots=True)
class Reading:
    """A kept answer and its verdict."""

    kept: KeptAnswer
    verdict: Verdict

    @property
    def rows(self) -> FieldRows:
        """Its field rows, which are empty unless the verdict is ``Extracted``."""
        return self.verdict.rows if isinstance(self.verdict, Extracted) else NO_ROWS


def read(kept: KeptAnswer) -> Reading:
    """The reading of ``kept``, from its bytes."""
    return Reading(kept, classify_kept(kept))
