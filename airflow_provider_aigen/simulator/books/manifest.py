# SPDX-License-Identifier: Apache-2.0
"""What a folder of test documents holds, and what is to become of each: written beside the images, never among them."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

__all__ = ["MANIFEST", "Entry", "Expected", "Said", "read_manifest", "said", "write_manifest", "write_object"]

MANIFEST = "manifest.json"


@dataclasses.dataclass(frozen=True, slots=True)
class Said:
    """What the simulator says to these bytes the first time: HTTP status and most specific code; a fault's name for a
    status where no answer comes."""

    status: int | str
    code: str | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Expected:
    """What is to become of an object.

    - ``kind``: what it is. ``outcome``: what the provider makes of it (design §3), or ``stop`` (design §5).
    - ``answers``: the simulator's, by family of codes: ``v2`` and ``later``.
    - ``error_code``: under which the provider records it, None where that is the answer's code.
    - ``preflight``: the provider sees that without a call.
    - ``passing``: only the first call fails; the outcome is that of the retry, if the budget has one.
    """

    kind: str
    outcome: str = "extracted"
    answers: Mapping[str, Said] = dataclasses.field(default_factory=lambda: said(200))
    error_code: str | None = None
    preflight: bool = False
    passing: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """One object: ``name`` is its path under the folder, with ``/``; ``duplicate_of`` another name with its bytes."""

    name: str
    sha256: str
    size_bytes: int
    expected: Expected
    duplicate_of: str | None = None


def said(status: int | str, code: str | None = None, later: Said | None = None) -> dict[str, Said]:
    """An answer by family of codes; the same in both, unless ``later`` has another."""
    v2 = Said(status, code)
    return {"v2": v2, "later": later or v2}


def write_object(folder: Path, name: str, data: bytes, expected: Expected) -> Entry:
    """Writes the bytes under the folder; returns what the manifest says of them."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return Entry(name, hashlib.sha256(data).hexdigest(), len(data), expected)


def write_manifest(folder: Path, entries: list[Entry]) -> list[Entry]:
    """Writes the manifest, sorted by name, and returns it. An object duplicates the first with its bytes."""
    entries = sorted(entries, key=lambda entry: entry.name)
    first: dict[str, str] = {}
    for entry in entries:
        first.setdefault(entry.sha256, entry.name)
    entries = [
        entry if first[entry.sha256] == entry.name else dataclasses.replace(entry, duplicate_of=first[entry.sha256])
        for entry in entries
    ]
    text = json.dumps([dataclasses.asdict(entry) for entry in entries], ensure_ascii=False, indent=1)
    (folder / MANIFEST).write_text(text + "\n", encoding="utf-8")
    return entries


def read_manifest(folder: Path) -> list[Entry]:
    """The manifest of a folder, as it was written. FileNotFoundError where there is none."""
    entries = []
    for row in json.loads((folder / MANIFEST).read_text(encoding="utf-8")):
        expected = row.pop("expected")
        answers = {codes: Said(**answer) for codes, answer in expected.pop("answers").items()}
        entries.append(Entry(expected=Expected(answers=answers, **expected), **row))
    return entries
