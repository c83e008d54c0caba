# SPDX-License-Identifier: Apache-2.0
"""The sign of life of a process, for which others respect its claims (design §3, Claim).

A writer beats every 15 s. Others take its claims over once the newest beat is older than 30 s. So a writer whose beat
was late (its process was frozen, or cut off from the store) may have lost them: it goes on under a new id, and has to
take each claim again before it calls.
"""

from __future__ import annotations

import asyncio
import logging
import math

from airflow_provider_aigen.core.errors import StorageUnavailableError, TransientError
from airflow_provider_aigen.ports import LATER_ID, Clock, StateStore

__all__ = ["BEAT_S", "Heartbeat"]

log = logging.getLogger(__name__)

BEAT_S = 15.0
# No call begins when the newest beat left longer ago than this: 10 s before others take the claims over.
_LATE_S = 20.0
# How often a beat is tried again that the store did not take, and how often it is waited for.
_AGAIN_S = 1.0
# So long a call waits for a beat. Where S3 fails for good, or a token has expired, the next try may have another one.
_WAITED_S = 300.0


class Heartbeat:
    """Of one process. ``writer_id`` is the id under which it claims now."""

    def __init__(self, state: StateStore, clock: Clock, writer_id: str) -> None:
        self._state = state
        self._clock = clock
        self._first_id = writer_id
        self._ids = 1
        self._beaten_at = -math.inf
        self._one_at_a_time = asyncio.Lock()
        self._begun = asyncio.Event()
        self.writer_id = writer_id

    @property
    def is_late(self) -> bool:
        """Whether others may have taken the claims over, or will while a call lasts."""
        return self._clock.monotonic() - self._beaten_at > _LATE_S

    async def beat(self) -> None:
        """Beat once, under a new id after a late beat. Raises what the store raises."""
        async with self._one_at_a_time:
            await self._beat()

    async def run(self) -> None:
        """Beat until cancelled, from the first :meth:`beat` on: a run that claims nothing leaves no trace."""
        await self._begun.wait()
        while True:
            await self._clock.sleep(max(0.0, self._beaten_at + BEAT_S - self._clock.monotonic()))
            try:
                await self.beat()
            except TransientError as error:
                log.warning("The sign of life could not be written, no call begins without it: %s", error)
                await self._clock.sleep(_AGAIN_S)

    async def alive(self) -> str:
        """The present id, once the newest beat is young enough for a call to begin. The first time it beats. Raises
        ``StorageUnavailableError`` where none comes through for long."""
        if not self._begun.is_set():
            async with self._one_at_a_time:
                if not self._begun.is_set():  # all workers come at once, and the first of them beats for all
                    await self._beat()
        waited_s = 0.0  # without the time in which the process was frozen
        while self.is_late:
            if waited_s >= _WAITED_S:
                raise StorageUnavailableError(
                    f"S3 has not taken this process's sign of life for {_WAITED_S:.0f} s, and no call may begin "
                    "without it: the next try goes on from here"
                )
            await self._clock.sleep(_AGAIN_S)
            waited_s += _AGAIN_S
        return self.writer_id

    async def _beat(self) -> None:
        began_at = self._clock.monotonic()
        if self._beaten_at > -math.inf and self.is_late:
            self._ids += 1
            self.writer_id = f"{self._first_id}{LATER_ID}{self._ids}"
            log.warning("This process was frozen or cut off from S3 for a while: it claims its documents again")
        await self._state.beat(self.writer_id)
        self._beaten_at = began_at
        self._begun.set()
