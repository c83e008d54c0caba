# SPDX-License-Identifier: Apache-2.0
"""What a destination's commits say, from the folded ledger and the commits behind it; and the folding (design §3,
Ledger).

Folding only spares later plans requests. Whatever becomes of it, nothing is lost: what is not folded is read.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass

from airflow_provider_aigen.core.cleared import ClearedRun
from airflow_provider_aigen.core.commits import taken_ids
from airflow_provider_aigen.core.errors import AigenError, ConfigurationError
from airflow_provider_aigen.core.folding import Fold, Folding, Segment, Span, cover, fingerprint, merge, next_merge
from airflow_provider_aigen.core.letters import PassingLetters
from airflow_provider_aigen.core.models import CommitEntry
from airflow_provider_aigen.pipeline.timing import beside
from airflow_provider_aigen.ports import Ledger, StateStore

__all__ = ["History", "commits_about", "newest_commit", "read_history", "read_letters"]

log = logging.getLogger(__name__)

# So many commits are read before a look at the ledger is worth its requests.
_FAR_BEHIND = 200
# Looking one document up takes as long as going through so many bytes of ids.
_LOOKED_UP = 128


@dataclass(frozen=True, slots=True)
class History:
    """What a plan has to know of the commits: which documents are taken, which are passing letters, and what the run
    that it is for has committed with other parameters."""

    ledger: Ledger
    letters: PassingLetters
    cleared: ClearedRun

    async def see_segment(self, segment: Segment) -> None:
        """Learn of the next commits, all of a segment at once."""
        await beside(len(segment.taken), self.ledger.add_sorted, segment.taken)
        self.letters.see_segment(segment)
        self.cleared.see_segment(segment)

    def see(self, entry: CommitEntry) -> None:
        """Learn of the next commit."""
        self.ledger.add(taken_ids(entry))
        self.letters.see(entry)
        self.cleared.see(entry)


async def read_history(state: StateStore, history: History, folding: Folding) -> int:
    """Learn of all commits, and fold those that are not folded yet. Returns the number of the newest one, 0 if there is
    none. ``history`` knows nothing yet.

    Raises ``ConfigurationError`` where the ledger is not that of these commits."""
    sizes = dict(await state.segments())
    newest = None
    async for segment in _segments(state, sizes):
        await history.see_segment(segment)
        newest = segment
    folded = newest.span.last if newest else 0
    if newest is not None:
        await _check(state, newest)
    folder = _Folder(state, folding, sizes)
    number = folded
    async for entry in state.commits_after(folded):
        history.see(entry)
        number = entry.number
        await folder.see(entry)
    await folder.merge()
    return number


async def newest_commit(state: StateStore) -> int:
    """The number of the newest commit; 0 where there is none."""
    newest = 0
    for span in await state.segments():
        newest = max(newest, span.last)
    async for entry in state.commits_after(newest):
        newest = entry.number
    return newest


async def read_letters(state: StateStore) -> tuple[PassingLetters, int]:
    """The passing dead letters of all commits, and the number of the newest commit, 0 if there is none. Nothing is
    written."""
    letters, number = PassingLetters(), 0
    async for segment in _segments(state, dict(await state.segments())):
        letters.see_segment(segment)
        number = segment.span.last
    async for entry in state.commits_after(number):
        letters.see(entry)
        number = entry.number
    return letters, number


async def commits_about(state: StateStore, document_ids: Collection[str], after: int) -> AsyncIterator[CommitEntry]:
    """The commits behind ``after`` that have an outcome for one of the documents, in order, and perhaps others. Many
    commits about other documents are skipped by what the ledger says."""
    read = after
    async for entry in state.commits_after(after):
        yield entry
        read = entry.number
        if read - after == _FAR_BEHIND:
            break
    else:
        return
    spans = set(await state.segments())
    while True:
        skipped = await _skip(state, spans, document_ids, read)
        if skipped > read:
            read = skipped
            continue
        ends = {span.first - 1 for span in spans}
        async for entry in state.commits_after(read):
            yield entry
            read = entry.number
            if read in ends:
                break
        else:
            return


async def _skip(state: StateStore, spans: set[Span], document_ids: Collection[str], after: int) -> int:
    """The end of the widest segment behind ``after`` that is about other documents only; else ``after``."""
    for span in sorted((span for span in spans if span.first == after + 1), reverse=True):
        segment = await state.read_segment(span)
        if segment is not None and not await beside(len(document_ids) * _LOOKED_UP, segment.names, document_ids):
            return span.last
    return after


async def _segments(state: StateStore, sizes: dict[Span, int]) -> AsyncIterator[Segment]:
    """The segments that cover most with the fewest requests, in order. Those that cannot be read are taken out of
    ``sizes``, and so they are written again."""
    after = 0
    while chosen := cover(sizes, after):
        segment = await state.read_segment(chosen[0])
        if segment is None:
            log.warning("The ledger for commits %d to %d cannot be read: it is made from the commits again", *chosen[0])
            del sizes[chosen[0]]
        else:
            yield segment
            after = segment.span.last


async def _check(state: StateStore, newest: Segment) -> None:
    """Prove that the ledger belongs to these commits, by the last one that it covers."""
    entry = await state.read_commit(newest.span.last)
    if entry is None or fingerprint(entry) != newest.newest:
        raise ConfigurationError(
            "state",
            f"the folder ledger covers commit {newest.span.last}, which is {'missing' if entry is None else 'another'}:"
            " restore the commits. If they were deleted on purpose, delete the folder ledger too",
        )


class _Folder:
    """Writes segments of what a plan reads. ``sizes`` are those of the segments that are there. After the first one
    that cannot be written, no other is tried."""

    def __init__(self, state: StateStore, folding: Folding, sizes: dict[Span, int]) -> None:
        self._state = state
        self._folding = folding
        self._sizes = sizes
        self._fold = Fold()
        self._failed = False

    async def see(self, entry: CommitEntry) -> None:
        """Fold the next commit, and write the segment that it completes."""
        self._fold.see(entry)
        if entry.number % self._folding.commits:
            return
        fold, self._fold = self._fold, Fold()
        if fold.span is not None and self._folding.is_whole(fold.span) and fold.span not in self._sizes:
            await self._create(fold.segment())

    async def merge(self) -> None:
        """Write the wider segments whose narrower ones are there."""
        while not self._failed and (spans := next_merge(self._sizes, self._folding)) is not None:
            segments = []
            for span in spans:
                segment = await self._read(span)
                if segment is None:
                    self._sizes.pop(span, None)
                    break
                segments.append(segment)
            else:
                await self._create(await beside(sum(len(one.taken) for one in segments), merge, segments))

    async def _read(self, span: Span) -> Segment | None:
        try:
            return await self._state.read_segment(span)
        except AigenError as error:
            self._give_up(error)
            return None

    async def _create(self, segment: Segment) -> None:
        if self._failed:
            return
        try:
            await self._state.create_segment(segment)
        except AigenError as error:
            self._give_up(error)
        else:
            self._sizes[segment.span] = len(segment.taken)
            log.debug("Folded commits %d to %d", *segment.span)

    def _give_up(self, error: AigenError) -> None:
        self._failed = True
        log.warning("The ledger could not be folded, the next plan tries it again: %s", error)
