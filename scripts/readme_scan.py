# SPDX-License-Identifier: Apache-2.0
"""Draws the scan that README shows beside its row: the upper half of the generator's first book.

``python scripts/readme_scan.py`` writes docs/images/scan.jpg; tests/docs/test_readme.py compares the two.
"""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image

from airflow_provider_aigen.simulator.books.book import book_file

__all__ = ["NAME", "PATH", "drawn"]

NAME = "scan-0001.jpg"
PATH = Path(__file__).resolve().parent.parent / "docs" / "images" / "scan.jpg"

_NUMBER, _SEED = 1, 7  # as `write_books` draws it by default
_UPPER_HALF = (60, 60, 1594, 1240)
_SIZE = (520, 400)


def drawn() -> Image.Image:
    """The upper half, in the size in which README shows it."""
    book = Image.open(io.BytesIO(book_file(_NUMBER, _SEED))).convert("RGB")
    return book.crop(_UPPER_HALF).resize(_SIZE, Image.Resampling.LANCZOS)


if __name__ == "__main__":
    drawn().save(PATH, quality=80, optimize=True)
