# SPDX-License-Identifier: Apache-2.0
"""Laws about what follows what: a document's outcomes, one after the other, and the dead letters that they leave."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterator
from itertools import pairwise

from airflow_provider_aigen.core.models import DocumentOutcome, ErrorOrigin, Outcome
from airflow_provider_aigen.core.service.verdicts import Extracted, Refused
from tests.kit.journal import Journal
from tests.kit.snapshot import Snapshot, letter_uri

__all__ = [
    "a_refusal_has_its_answer",
    "an_outage_is_not_routed",
    "an_outcome_names_the_letter_that_it_retakes",
    "images_are_those_of_the_letters",
    "letters_are_those_of_the_newest_outcomes",
    "nothing_is_kept_for_a_passing_failure",
    "rounds_are_counted",
    "rows_come_once_and_last",
]

_LEAST_OUTAGE = 5
_OUTAGE_SHARE = 0.05
_MOST_ROUNDS = 10


def rows_come_once_and_last(store: Snapshot, journal: Journal) -> Iterator[str]:
    """A document has rows at most once, and no outcome follows that has them."""
    for document_id, outcomes in store.history.items():
        for (before, had), (entry, outcome) in pairwise(outcomes):
            if had.has_rows:
                yield (
                    f"document {document_id} has rows by commit {before.number} and becomes {outcome.outcome} in "
                    f"commit {entry.number}"
                )


def an_outcome_names_the_letter_that_it_retakes(store: Snapshot, journal: Journal) -> Iterator[str]:
    """A document's first outcome, and one after it was gone, name no other; each of the rest names the one before it.
    Rows that come after it was gone may name the letter before that."""
    for document_id, outcomes in store.history.items():
        before = None
        for entry, outcome in outcomes:
            names = outcome.retakes
            if before is None or before[1].outcome is Outcome.GONE:
                right = names is None or (before is not None and outcome.has_rows and names < before[0].number)
            else:
                right = names == before[0].number
            if not right:
                named = f"names commit {names}" if names is not None else "names none"
                newest = f"commit {before[0].number}, which made it {before[1].outcome}" if before else "none"
                yield f"document {document_id} in commit {entry.number} {named}, but the newest is {newest}"
            before = entry, outcome


def letters_are_those_of_the_newest_outcomes(store: Snapshot, journal: Journal) -> Iterator[str]:
    """Each newest outcome that has a dead letter has it, with its commit's facts, and no other letter is there."""
    expected = {
        letter_uri(entry, outcome): (entry, outcome)
        for entry, outcome in store.newest.values()
        if outcome.has_dead_letter
    }
    for uri in sorted({*expected} ^ {*store.records}):
        yield f"{uri} is {'missing, but committed' if uri in expected else 'a letter that nothing has any more'}"
    for uri, (entry, outcome) in expected.items():
        record = store.records.get(uri)
        facts = {"commit": entry.number, "passing": outcome.passing, "rounds": outcome.rounds}
        if record is not None and not facts.items() <= record.items():
            yield f"{uri} is the letter of another commit than {entry.number}"


def images_are_those_of_the_letters(store: Snapshot, journal: Journal) -> Iterator[str]:
    """A dead letter has its image, unless it was not to be copied, or could not be had."""
    named = {record["image"] for record in store.records.values() if record["image"]}
    for uri in sorted(named - store.images):
        yield f"image {uri} is missing beside its dead letter"
    back = set()  # an image may be copied behind its record
    for entry, outcome in store.newest.values():
        document, record = outcome.document, store.records.get(letter_uri(entry, outcome))
        if outcome.has_dead_letter and entry.settings.copy_image and record is not None and not record["image"]:
            why = record["image_missing"]
            gone = why == "source_gone" and document.key in journal.touched
            if not gone and not (why == "access_denied" and document.key in journal.denied):
                yield f"dead letter {document.document_id} has no image: {why}"
            if document.key in journal.came_back | journal.denied:
                back.add(document.document_id)
    resolved = {record["image"] for record in store.all_records.values() if record["image"]}  # not to be deleted
    for uri in sorted(store.images - named - resolved):
        if uri.rpartition("/")[2].partition(".")[0] not in back:
            yield f"image {uri} lies beside no dead letter"


def a_refusal_has_its_answer(store: Snapshot, journal: Journal) -> Iterator[str]:
    """What was refused by the endpoint, not before any call, is a dead letter only with the answer kept."""
    for _, outcome in store.outcomes:
        refused = outcome.outcome is Outcome.DEAD_LETTER and outcome.last_called_at is None
        if refused and outcome.error_origin is ErrorOrigin.API and outcome.content_sha256 not in store.answers:
            yield f"document {outcome.document.document_id} is a dead letter without a kept answer"


def nothing_is_kept_for_a_passing_failure(store: Snapshot, journal: Journal) -> Iterator[str]:
    """What is kept is an answer or a refusal: the next try may call again for all else."""
    for sha256, reading in store.answers.items():
        if not isinstance(reading.verdict, (Extracted, Refused)):
            yield f"a passing failure is kept as the answer for content {sha256[:6]}"


def an_outage_is_not_routed(store: Snapshot, journal: Journal) -> Iterator[str]:
    """A try makes a first dead letter of a failure only if it was answered at least as often, and has few of them."""
    routed: defaultdict[Hashable, list[DocumentOutcome]] = defaultdict(list)
    planned = {run.run_key: len(ids) for run, ids in store.planned.items()}
    most = {}
    for entry, outcome in store.outcomes:
        if outcome.last_called_at is not None and not journal.service_may_fail:
            yield f"document {outcome.document.document_id} failed, though the service cannot"
        first = outcome.last_called_at is not None and outcome.all_rounds == 0
        if first and outcome.error_origin is ErrorOrigin.API and outcome.content_sha256 not in journal.aged:
            routed[entry.writer_id].append(outcome)
            most[entry.writer_id] = max(_LEAST_OUTAGE, int(_OUTAGE_SHARE * planned.get(entry.run.run_key, 0)))
    for writer, outcomes in routed.items():
        answered = journal.answered(writer)
        if len(outcomes) > most[writer]:
            yield f"{writer} routes {len(outcomes)} documents, which is an outage"
        elif answered is not None and len(outcomes) > answered:
            yield f"{writer} routes {len(outcomes)} documents, and was answered {answered} times"


def rounds_are_counted(store: Snapshot, journal: Journal) -> Iterator[str]:
    """Each failed retake is one round more, and a passing letter has had less than three that count and ten of all."""
    for document_id, outcomes in store.history.items():
        before = None
        for entry, outcome in outcomes:
            if outcome.last_called_at is None or outcome.retakes is None or before is None:
                before = outcome
                continue
            more = outcome.rounds - before.rounds
            if outcome.all_rounds != before.all_rounds + 1 or more not in (0, 1):
                yield f"document {document_id} has {outcome.rounds} rounds of {outcome.all_rounds} in {entry.number}"
            if outcome.passing is not (outcome.rounds < journal.rounds and outcome.all_rounds < _MOST_ROUNDS):
                yield f"document {document_id} is passing={outcome.passing} after {outcome.rounds} rounds that count"
            before = outcome
