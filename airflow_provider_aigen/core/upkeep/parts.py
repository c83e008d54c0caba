# SPDX-License-Identifier: Apache-2.0
"""Commits and rebuilds → the parts of the tables: which commits a part has, its name, and the settings of its rows.

A rebuild says what it changes in a numbered object that is created once. What a part is follows from the commits and
from these objects alone, so it does not matter which process writes it, how often, or how late.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace

from airflow_provider_aigen.core.models import CommitEntry, OutputSettings, Table
from airflow_provider_aigen.core.records.schema import RecordSchema, built_in_schema

__all__ = [
    "MOST_DOCUMENTS",
    "PartFacts",
    "Rebuild",
    "Unit",
    "groups",
    "older_units",
    "part_name",
    "replaced",
    "settings_of",
    "unit_of",
]

# Parts are merged up to so many documents.
MOST_DOCUMENTS = 2000

# What :func:`part_name` gives, in a partition's folder.
_OWN = re.compile(r"(?P<folder>.*/)?c(?P<number>\d{8,})-\d{5,}(-(?P<state>[^-/]+))?\.parquet")
_MERGED = re.compile(
    r"(?P<folder>.*/)?m(?P<first>\d{8,})-(?P<last>\d{8,})-(?P<rebuild>\d{5,})(-(?P<state>[^-/]+))?\.parquet"
)


@dataclass(frozen=True, slots=True)
class Rebuild:
    """Rebuild ``number``, counted from 1, of the commits ``first`` to ``last``: what holds for their parts in
    ``tables`` from then on. ``merged`` has the groups of commits that have one part in each table together.

    ``min_confidence`` None leaves the limit of each commit. ``record_schema`` None gives the built-in schema to commits
    that have none, and ``()`` leaves them as they are."""

    number: int
    run_key: str
    first: int
    last: int
    tables: tuple[Table, ...]
    min_confidence: float | None = None
    record_schema: RecordSchema | None = ()
    merged: tuple[tuple[int, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class Unit:
    """The commits whose rows lie in one part. ``rebuild`` is the one that merged them, 0 for a commit by itself."""

    numbers: tuple[int, ...]
    rebuild: int = 0


@dataclass(frozen=True, slots=True)
class PartFacts:
    """A commit that may be merged: ``place`` is equal for commits whose rows may lie in one part."""

    number: int
    place: tuple[object, ...]
    documents: int

    @classmethod
    def of(cls, entry: CommitEntry, documents: int, rebuilds: Sequence[Rebuild]) -> PartFacts:
        """Of a commit with so many documents."""
        settings = settings_of(entry, Table.RECORDS, rebuilds)
        place = settings.destination, settings.partition, settings.document_type, settings.record_schema
        return cls(entry.number, place, documents)


def settings_of(entry: CommitEntry, table: Table, rebuilds: Iterable[Rebuild]) -> OutputSettings:
    """The settings that the rows of the commit have in ``table`` now."""
    settings = entry.settings
    for one in rebuilds:
        if table not in one.tables or not one.first <= entry.number <= one.last:
            continue
        if one.min_confidence is not None:
            settings = replace(settings, min_confidence=one.min_confidence)
        if one.record_schema:
            settings = replace(settings, record_schema=one.record_schema)
        elif one.record_schema is None and not settings.record_schema:
            schema = built_in_schema(settings.document_type, settings.partition)
            settings = replace(settings, record_schema=schema)
    return settings


def unit_of(number: int, rebuilds: Sequence[Rebuild]) -> Unit:
    """The part in which the rows of the commit lie now."""
    for one in reversed(rebuilds):
        for group in one.merged:
            if number in group:
                return Unit(group, one.number)
    return Unit((number,))


def older_units(unit: Unit, rebuilds: Sequence[Rebuild]) -> list[Unit]:
    """The parts that had the rows of ``unit`` before, and must not be there any more."""
    if not unit.rebuild:
        return []
    numbers = {*unit.numbers}
    merged = [
        Unit(group, one.number)
        for one in rebuilds
        for group in one.merged
        if one.number < unit.rebuild and numbers.intersection(group)
    ]
    return [*(Unit((number,)) for number in unit.numbers), *merged]


def replaced(paths: Collection[str], rebuilds: Sequence[Rebuild], state_id: str | None) -> list[str]:
    """Those of a table's parts, named by their paths in the table's folder, whose rows lie in a merged part that is
    there too. A writer that was late leaves such a part where it is killed before it has looked.

    What is no part of this state is left out. A merged part is never taken apart, so a listing that is old by now does
    not matter."""
    there = [(path, found) for path in paths if (found := _found(path, rebuilds, state_id)) is not None]
    newest: dict[tuple[str, int], int] = {}
    for _, (folder, unit) in there:
        for number in unit.numbers:
            newest[folder, number] = max(unit.rebuild, newest.get((folder, number), 0))
    return [path for path, (folder, unit) in there if all(newest[folder, one] > unit.rebuild for one in unit.numbers)]


def _found(path: str, rebuilds: Sequence[Rebuild], state_id: str | None) -> tuple[str, Unit] | None:
    """The folder of a part, and what it has; None for what is no part of this state."""
    own, merged = _OWN.fullmatch(path), _MERGED.fullmatch(path)
    name = own or merged
    if name is None or name["state"] not in (None, state_id):
        return None
    folder = name["folder"] or ""
    if own:
        return folder, Unit((int(own["number"]),))
    for one in rebuilds:
        for group in one.merged:
            if (group[0], group[-1], one.number) == (int(name["first"]), int(name["last"]), int(name["rebuild"])):
                return folder, Unit(group, one.number)
    return None


def part_name(unit: Unit, last: CommitEntry) -> str:
    """The file's name, where ``last`` is the unit's last commit: ``c<commit>-<batch>-<state id>.parquet``, or
    ``m<first>-<last>-<rebuild>-<state id>.parquet`` for a part of several; in the commits of version 0.1 without a
    state's id."""
    state = f"-{last.state_id}" if last.state_id else ""
    if unit.rebuild:
        return f"m{unit.numbers[0]:08d}-{unit.numbers[-1]:08d}-{unit.rebuild:05d}{state}.parquet"
    return f"c{last.number:08d}-{last.batch:05d}{state}.parquet"


def groups(
    commits: Iterable[PartFacts], rebuilds: Sequence[Rebuild], most_documents: int = MOST_DOCUMENTS
) -> tuple[tuple[int, ...], ...]:
    """The groups of ``commits``, which are in order, that become one part each: neighbours of one place, as many as
    have ``most_documents`` together. A part that has several commits already is taken as a whole, or not at all."""
    known = {one.number: one for one in commits}
    seen: set[int] = set()
    opened: dict[tuple[object, ...], tuple[list[Unit], int]] = {}
    found: list[list[Unit]] = []
    for number, facts in known.items():
        unit = unit_of(number, rebuilds)
        if number in seen or not known.keys() >= {*unit.numbers}:
            continue
        seen.update(unit.numbers)
        documents = sum(known[one].documents for one in unit.numbers)
        units, sum_of_them = opened.get(facts.place, ([], 0))
        if sum_of_them + documents > most_documents:
            units, sum_of_them = [], 0
        units.append(unit)
        if len(units) == 2:
            found.append(units)
        opened[facts.place] = units, sum_of_them + documents
    merged = (sorted(number for unit in units for number in unit.numbers) for units in found)
    return tuple(sorted(tuple(numbers) for numbers in merged))
