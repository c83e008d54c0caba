# SPDX-License-Identifier: Apache-2.0
"""What an image says of itself: JSON in its metadata that tells the simulator what to answer.

    {"aigen_simulator": 1, "document": "vehicle-registration-book",
     "fields": {"province": {"value": "…", "boxes": [[[x, y], [x, y], [x, y], [x, y]]]}},
     "degradation": {"blur": 0.6, "noise": 4.0, "rotation": 0.3},
     "simulate": {"status": 400, "code": "1001"}}

``simulate`` is a marker: instead of the truth the image asks for a certain answer, always or only ``times`` times.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

__all__ = ["Degradation", "Marker", "TrueField", "Truth"]

Box = tuple[tuple[int, int], ...]
VERSION = 1


@dataclasses.dataclass(frozen=True, slots=True)
class TrueField:
    """A field's value, and where it stands: boxes of four (x, y) in pixels, clockwise from the top left."""

    value: str
    boxes: tuple[Box, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class Degradation:
    """What the generator did to a clean page: blur radius in px, noise in grey levels, rotation in degrees."""

    blur: float = 0.0
    noise: float = 0.0
    rotation: float = 0.0


@dataclasses.dataclass(frozen=True, slots=True)
class Marker:
    """What to answer instead of the truth.

    - ``times``: only the first so many calls with these bytes, None for all of them.
    - ``fault``: one of `options.FAULTS` or of `faults.MALFORMED`.
    - ``status``, ``code``, ``message``: an answer in the vendor's shape with any code. The message of a code that the
      contract lists is filled in. ``pages`` entries in its data; ``failed_pages`` (from 1) of them are ``{}``.
    - ``headers`` are added to the answer; ``body`` (any JSON) replaces its body.
    - ``page_error``: this page breaks the service, as one page of a PDF may: ``internal_server_error``, or its later
      form.
    """

    status: int | None = None
    code: str | None = None
    message: str | None = None
    pages: int = 1
    failed_pages: tuple[int, ...] = ()
    times: int | None = None
    fault: str | None = None
    page_error: bool = False
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)
    body: Any = None

    def __post_init__(self) -> None:
        if (self.status is None) + (self.fault is None) + (not self.page_error) != 2:
            raise ValueError("a marker has a status, a fault or a page error: one of them")

    def applies(self, nth: int) -> bool:
        """Whether the nth call (from 1) with these bytes gets this answer."""
        return self.times is None or nth <= self.times


@dataclasses.dataclass(frozen=True, slots=True)
class Truth:
    """What stands on one page."""

    document: str
    fields: Mapping[str, TrueField] = dataclasses.field(default_factory=dict)
    degradation: Degradation = Degradation()
    simulate: Marker | None = None

    def to_json(self, *, ascii_only: bool = False) -> str:
        """The JSON for an image's metadata, equal for equal truths."""
        data: dict[str, Any] = {
            "aigen_simulator": VERSION,
            "document": self.document,
            "fields": {name: {"value": f.value, "boxes": f.boxes} for name, f in self.fields.items()},
            "degradation": dataclasses.asdict(self.degradation),
        }
        if self.simulate is not None:
            default = {f.name: f.default for f in dataclasses.fields(Marker)} | {"headers": {}}
            asked = dataclasses.asdict(self.simulate)
            data["simulate"] = {name: value for name, value in asked.items() if value != default[name]}
        return json.dumps(data, ensure_ascii=ascii_only, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str | bytes) -> Truth | None:
        """The truth in a comment that an image carries; None for any other comment."""
        try:
            data = json.loads(text)
            if data["aigen_simulator"] != VERSION:
                return None
            fields = {
                name: TrueField(
                    field["value"], tuple(tuple((int(x), int(y)) for x, y in box) for box in field["boxes"])
                )
                for name, field in data["fields"].items()
            }
            asked = data.get("simulate")
            if asked is not None:
                asked = Marker(**asked | {"failed_pages": tuple(asked.get("failed_pages", ()))})
            return cls(data["document"], fields, Degradation(**data["degradation"]), asked)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return None
