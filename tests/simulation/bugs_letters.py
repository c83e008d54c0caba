# SPDX-License-Identifier: Apache-2.0
"""Deliberate bugs in passing dead letters and their retakes."""

from __future__ import annotations

from typing import Any

from airflow_provider_aigen.adapters.tables import dead_letters
from airflow_provider_aigen.core import commits, letters
from airflow_provider_aigen.core.document import outcomes
from airflow_provider_aigen.core.service import health, suspects
from airflow_provider_aigen.pipeline import commit, effects
from tests.simulation.draw import HALF_A_LETTER
from tests.simulation.mutations import Patch, edit, mutation


@mutation("dead letters before the commit", law="the dead letter of .* is written before a commit")
def _() -> list[Patch]:
    original = commit.Committer.commit

    async def early(self: Any, batch: Any, outcomes: Any, rows: Any) -> None:
        entry = commit.CommitEntry(1, "early", batch.run, batch.number, batch.settings, ())
        for outcome in outcomes.values():
            if outcome.has_dead_letter:
                await self._effects._dead_letters.write(entry, outcome)
        await original(self, batch, outcomes, rows)

    return [(commit.Committer, "commit", early)]


@mutation("a letter is deleted as soon as its commit is applied", law="is deleted, which nothing took")
def _() -> list[Patch]:
    original = effects.Effects.apply

    async def apply(self: Any, entry: Any, at_hand: Any = None) -> None:
        await original(self, entry, at_hand)
        for outcome in entry.outcomes:
            if outcome.has_dead_letter:
                await self._dead_letters.remove(entry, outcome, resolved_by=entry.number)

    return [(effects.Effects, "apply", apply)]


@mutation("the letter of what has healed stays", law="letters are those of the newest", profile="passing")
def _() -> list[Patch]:
    async def nothing(*_: Any) -> None:
        return None

    return [(effects.Effects, "_settle", nothing)]


@mutation("an image without a record stays", law="images are those of the letters", profile=HALF_A_LETTER, first=440)
def _() -> list[Patch]:
    async def nothing(*_: Any) -> None:
        return None

    return [(dead_letters.S3DeadLetters, "_remove_image_alone", nothing)]


@mutation("the image of what has healed stays", law="images are those of the letters", profile="passing")
def _() -> list[Patch]:
    image = "await self._store.delete(folder.bucket, image)"
    return [edit(dead_letters.S3DeadLetters, "remove", (image, "pass"))]


@mutation(
    "letters are written without looking for newer entries",
    law="letters are those of the newest",
    profile="letters",
    first=1690,
)
def _() -> list[Patch]:
    later = "async for later in commits_about(self._state, chains.keys(), entry.number):"
    return [edit(effects.Effects, "_chains", (later, "for later in ():"))]


@mutation(
    "newer entries are looked for only before a letter is written",
    law="letters are those of the newest|when they are written again",
    profile="letters",
    first=5150,
)
def _() -> list[Patch]:
    return [edit(effects.Effects, "_settle", ("again = await self._chains(entry, lettered)", "again = chains"))]


@mutation(
    "a failed retake takes over a newer entry", law="names the letter that it retakes", profile="passing", first=280
)
def _() -> list[Patch]:
    names = "return None if is_seen and newest != outcome.retakes else outcome"
    return [edit(commits.Taken, "admit", (names, "return outcome"))]


@mutation("two failed retakes both count", law="rounds are counted|names the letter", profile="passing")
def _() -> list[Patch]:
    names = "return None if is_seen and newest != outcome.retakes else outcome"
    both = "return replace(outcome, retakes=newest or outcome.retakes) if is_seen else outcome"
    return [edit(commits.Taken, "admit", (names, both))]


@mutation("a letter is never due", law="is a letter after a run that began when it was due", profile="passing")
def _() -> list[Patch]:
    return [(letters, "_is_due", lambda *_: False)]


@mutation("a round always counts", law="a round counts where the service was well", profile="passing")
def _() -> list[Patch]:
    return [(health.Health, "round_counts", property(lambda _: True))]


@mutation("no round ever counts", law="are still tried again after", profile="passing")
def _() -> list[Patch]:
    return [(health.Health, "round_counts", property(lambda _: False))]


@mutation("the rounds of a letter begin anew", law="rounds are counted", profile="passing")
def _() -> list[Patch]:
    return [edit(outcomes, "failed", ("retake.all_rounds + 1 if retake else 0", "1 if retake else 0"))]


@mutation("a letter is final at once", law="no healthy document is a final letter", profile="passing")
def _() -> list[Patch]:
    passing = "passing=rounds < this.most and all_rounds < _MOST_ROUNDS"
    return [edit(outcomes, "failed", (passing, "passing=False"))]


@mutation("a letter is called three times in a round", law="calls .* times for content", profile="passing")
def _() -> list[Patch]:
    return [edit(suspects.Suspects, "add", ("1 if suspect.letter else MAX_CALLS", "MAX_CALLS"))]
