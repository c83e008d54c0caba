# SPDX-License-Identifier: Apache-2.0
"""Images that the simulator knows what to say about, smaller and quicker made than its books."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from PIL import Image

from airflow_provider_aigen.simulator import Marker, TrueField, Truth, save_image

__all__ = ["scan"]

_BOX = ((100, 100), (200, 100), (200, 120), (100, 120))


def scan(
    values: Mapping[str, str] | None = None,
    *,
    document: str = "vehicle-registration-book",
    width: int = 600,
    height: int = 500,
    **marker: Any,
) -> bytes:
    """A JPEG of such a document on which these fields stand; without fields it is none. ``marker`` asks for another
    answer. Equal arguments give equal bytes."""
    fields = {name: TrueField(value, (_BOX,)) for name, value in (values or {}).items()}
    truth = Truth(document, fields, simulate=Marker(**marker) if marker else None)
    return save_image(Image.new("L", (width, height), 255), "JPEG", truth)
