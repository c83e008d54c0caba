# SPDX-License-Identifier: Apache-2.0
"""One book, as pixels and as a file. Number and seed make the same book, and on the same versions the same bytes."""

from __future__ import annotations

import functools
import random

from PIL import Image

from airflow_provider_aigen.simulator.books.degrade import degraded, draw_degradation, turned
from airflow_provider_aigen.simulator.books.form import HEIGHT, LINES, WIDTH, blank_form
from airflow_provider_aigen.simulator.books.invented import invented_book, invented_card
from airflow_provider_aigen.simulator.books.page import draw_page
from airflow_provider_aigen.simulator.images import add_truth, save_image
from airflow_provider_aigen.simulator.truth import Degradation, Marker, TrueField, Truth

__all__ = ["BOOK", "book_file", "book_page", "plain_book", "plain_card"]

BOOK, CARD = "vehicle-registration-book", "idcard"
DPI = 200


def book_page(number: int, seed: int, how: Degradation | None = None) -> tuple[Image.Image, Truth]:
    """A scanned page, RGB, 1654 x 2339 px, and the truth about it; ``how`` bad it is, if the seed is not to say."""
    chance = random.Random(f"{seed}:{number}")  # noqa: S311 — made-up documents, not secrets
    page, fields = draw_page(invented_book(chance), chance)
    drawn = draw_degradation(chance)
    how = how or drawn
    return degraded(page, how, chance), Truth(BOOK, turned(fields, how, page.size), how)


def book_file(number: int, seed: int, media_format: str = "JPEG") -> bytes:
    """A book as JPEG, PNG, WEBP or TIFF with the truth inside, 100 to 450 KB. The lossless ones have no noise, as
    scanners that write them clean it away; TIFF is black and white."""
    if media_format in ("PNG", "TIFF"):
        image, truth = book_page(number, seed, Degradation(blur=0.4, rotation=0.2))
        if media_format == "PNG":
            return save_image(image.convert("L").quantize(8), "PNG", truth, dpi=(DPI, DPI))
        return save_image(image.convert("1", dither=Image.Dither.NONE), "TIFF", truth, compression="group4")
    image, truth = book_page(number, seed)
    if media_format == "WEBP":
        return save_image(image, "WEBP", truth, quality=60, method=1)
    # Noise doesn't compress: the noisier, the lower the quality, for files of like size.
    quality = max(30, round(66 - 3 * truth.degradation.noise))
    return save_image(image, "JPEG", truth, quality=quality, dpi=(DPI, DPI))


@functools.cache
def _plain_jpeg() -> bytes:
    """The form with nothing filled in, half the size."""
    return save_image(blank_form().resize((WIDTH // 2, HEIGHT // 2), reducing_gap=2.0).convert("L"), "JPEG", quality=25)


def _boxes(name: str) -> tuple[tuple[tuple[int, int], ...], ...]:
    line = LINES.get(name, LINES["ownership"])
    left, right, top, bottom = line.left // 2, line.right // 2, line.baseline // 2 - 20, line.baseline // 2 + 4
    return (((left, top), (right, top), (right, bottom), (left, bottom)),)


def _plain(document: str, values: dict[str, str], simulate: Marker | None) -> bytes:
    fields = {name: TrueField(value, _boxes(name)) for name, value in values.items()}
    return add_truth(_plain_jpeg(), Truth(document, fields, Degradation(blur=0.4, noise=2.0), simulate))


def plain_book(number: int, seed: int = 7, simulate: Marker | None = None) -> bytes:
    """A JPEG of an empty form, 827 x 1169 px, with the truth of a whole book in it: made in well under a millisecond,
    where nobody looks at the picture. With a marker it asks for a certain answer."""
    chance = random.Random(f"{seed}:{number}:plain")  # noqa: S311 — made-up documents, not secrets
    return _plain(BOOK, invented_book(chance), simulate)


def plain_card(number: int, seed: int = 7, simulate: Marker | None = None) -> bytes:
    """The same for ``idcard/v2``, whose field names are the simulator's own."""
    chance = random.Random(f"{seed}:{number}:card")  # noqa: S311 — made-up documents, not secrets
    return _plain(CARD, invented_card(chance), simulate)
