# SPDX-License-Identifier: Apache-2.0
"""Deliberate bugs in the folded ledger."""

from __future__ import annotations

from airflow_provider_aigen.adapters.state.applied import AppliedMarks
from airflow_provider_aigen.core import folding, letters
from airflow_provider_aigen.pipeline import history
from tests.simulation.mutations import Patch, edit, mutation


@mutation("folding forgets what had failed before", law="of the ledger has .* as taken", profile="passing")
def _() -> list[Patch]:
    once = "(self._taken.discard if known else self._taken.add)(document_id)"
    return [edit(folding.Fold, "_see", ("self._taken.add(document_id)", once))]


@mutation("what was gone is folded as taken", law="as taken, its commits say", profile="zombie")
def _() -> list[Patch]:
    return [edit(folding.Fold, "_see", ("self._gone.add(document_id)", "self._taken.add(document_id)"))]


@mutation("the oldest letter wins in a merge", law="has other passing letters", profile="letters")
def _() -> list[Patch]:
    changed = edit(folding, "merge", ("if one not in again | left} | now", "}; passing = now | passing"))
    return [(history, "merge", changed[2])]


@mutation("a document that the ledger takes is planned again", law="rows come once|documents are left|twice")
def _() -> list[Patch]:
    taken = "await beside(len(segment.taken), self.ledger.add_sorted, segment.taken)"
    return [edit(history.History, "see_segment", (taken, "pass"))]


@mutation("letters of the ledger are never due", law="is a letter after a run|are still tried again", profile="passing")
def _() -> list[Patch]:
    return [(letters.PassingLetters, "unread", lambda *_: [])]


@mutation("what is not applied is said to be", law="is said to be applied, and is not")
def _() -> list[Patch]:
    return [edit(AppliedMarks, "_note", ("list(exceptions)", "[]"))]


@mutation("nothing is folded", law="are not folded after a plan")
def _() -> list[Patch]:
    return [(folding.Folding, "is_whole", lambda *_: False)]
