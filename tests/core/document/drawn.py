# SPDX-License-Identifier: Apache-2.0
"""Image files that Pillow writes."""

from __future__ import annotations

from io import BytesIO
from typing import Any

from PIL import Image

__all__ = ["written"]


def written(size: tuple[int, int], kind: str, mode: str = "L", **options: Any) -> bytes:
    """A file with one colour in it."""
    file = BytesIO()
    Image.new(mode, size).save(file, kind, **options)
    return file.getvalue()
