# SPDX-License-Identifier: Apache-2.0
"""Deliberate bugs in redrive, rebuild and erasure. Their seeds are those of ``tests.simulation.upkeep``."""

from __future__ import annotations

from typing import Any

from airflow_provider_aigen.adapters.state.erasure import ErasureStore
from airflow_provider_aigen.core.models import DocumentOutcome
from airflow_provider_aigen.core.upkeep import redrive as choosing
from airflow_provider_aigen.pipeline import parts
from airflow_provider_aigen.pipeline.parts import Parts
from airflow_provider_aigen.pipeline.upkeep import erase
from tests.simulation.mutations import UPKEEP, Patch, edit, mutation


@mutation("merged parts: the old ones are deleted first", law="no row is lost", profile=UPKEEP)
def _() -> list[Patch]:
    original = Parts.write_unit

    async def write_unit(self: Any, unit: Any) -> Any:
        entries = {number: await self.read_commit(number) for number in unit.numbers}
        await self._remove(parts.older_units(unit, self.rebuilds), entries)
        return await original(self, unit)

    return [(Parts, "write_unit", write_unit)]


@mutation("merged parts: the old ones stay", law="rows are there once, after|rows are there once, at", profile=UPKEEP)
def _() -> list[Patch]:
    async def nothing(*_: Any) -> None:
        return None

    return [(Parts, "_remove", nothing)]


@mutation("late parts: nobody removes them", law="rows are there once, after the last run", profile=UPKEEP, first=70)
def _() -> list[Patch]:
    async def nothing(*_: Any) -> None:
        return None

    return [(Parts, "remove_replaced", nothing)]


@mutation("late parts: a writer does not look afterwards", law="rows have the limits", profile=UPKEEP, first=12)
def _() -> list[Patch]:
    return [edit(Parts, "write", ("        await self.look()\n        if unit_of", "        if unit_of"))]


@mutation("a redrive takes the pages that were good", law="rows are there once", profile=UPKEEP)
def _() -> list[Patch]:
    return [(DocumentOutcome, "rows_of", lambda self, rows: rows)]


@mutation("a redrive takes the answer that is kept", law="ends as extracted", profile=UPKEEP)
def _() -> list[Patch]:
    return [edit(choosing, "_retake", ("outcome.answer + 1", "outcome.answer"))]


@mutation("a redrive asks for an answer of its own", law="a redrive pays once", profile=UPKEEP, first=48)
def _() -> list[Patch]:
    return [edit(choosing, "_retake", ("outcome.answer + 1", "hash(letter.entry) % 1000 + 1"))]


@mutation("an erasure waits for nobody", law="nothing of the erased is left", profile=UPKEEP, first=17)
def _() -> list[Patch]:
    async def nothing(*_: Any) -> None:
        return None

    return [(erase, "_wait_for_writers", nothing)]


@mutation("an erasure does not take its documents", law="ends as erased|is called after its erasure", profile=UPKEEP)
def _() -> list[Patch]:
    return [(erase, "erasing_entry", lambda *_: None)]


@mutation("an erasure leaves plans as they are", law="nothing of the erased is left", profile=UPKEEP)
def _() -> list[Patch]:
    async def nothing(*_: Any) -> int:
        return 0

    return [(ErasureStore, "erase_in_plans", nothing)]


@mutation("an erasure waits for writers that are gone", law="fails without a fault|though all is well", profile=UPKEEP)
def _() -> list[Patch]:
    return [edit(erase, "_wait_for_writers", ("if now - at <= WRITER_LIVES", "if now - at <= 99 * WRITER_LIVES"))]
