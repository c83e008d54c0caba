# SPDX-License-Identifier: Apache-2.0
"""What a segment of the ledger has to say, worked out document by document."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from airflow_provider_aigen.core.folding import Segment
from airflow_provider_aigen.core.models import CommitEntry, DocumentOutcome, Outcome

__all__ = ["differences"]

Said = tuple[CommitEntry, DocumentOutcome]


def differences(name: str, segment: Segment | None, entries: Sequence[CommitEntry]) -> Iterator[str]:
    """A sentence for everything in which the segment is not what ``entries`` say."""
    if segment is None:
        yield f"{name} of the ledger cannot be read"
        return
    said: defaultdict[str, list[Said]] = defaultdict(list)
    for entry in entries:
        for outcome in entry.outcomes:
            said[outcome.document.document_id].append((entry, outcome))
    folded = [segment.taken[at : at + 16].hex() for at in range(0, len(segment.taken), 16)]
    passing = {letter.retake.document_id: (letter.retake, letter.last_called_at) for letter in segment.passing}
    states = {one: _state(each) for one, each in said.items()}
    wanted = {kind: sorted(one for one, state in states.items() if state == kind) for kind in ("reopened", "gone")}
    taken = sorted(one for one, state in states.items() if state not in wanted)
    for what, found, right in (
        ("taken", folded, taken),
        ("reopened", list(segment.reopened), wanted["reopened"]),
        ("gone", list(segment.gone), wanted["gone"]),
    ):
        if found != right:
            yield f"{name} of the ledger has {len(found)} documents as {what}, its commits say {len(right)}, or others"
    letters = {one for one in taken if states[one] == "passing"}
    if passing.keys() != letters or any(not _is_that(passing[one], said[one][-1]) for one in letters):
        yield f"{name} of the ledger has other passing letters than its commits"


def _state(said: Sequence[Said]) -> str:
    """What becomes of a document by what was said of it: the newest outcome that is not gone counts. If it was gone
    after a letter that may pass, it is new again."""
    kinds = ["gone" if one.outcome is Outcome.GONE else "passing" if one.passing else "taken" for _, one in said]
    while kinds and kinds[-1] == "gone":
        kinds.pop()
    if not kinds:
        return "gone"
    return "reopened" if kinds[-1] == "passing" and len(kinds) < len(said) else kinds[-1]


def _is_that(letter: object, said: Said) -> bool:
    entry, outcome = said
    retake, last_called_at = letter  # type: ignore[misc]
    facts = (retake.commit, retake.rounds, retake.all_rounds, last_called_at)
    return bool(facts == (entry.number, outcome.rounds, outcome.all_rounds, outcome.last_called_at))
