# SPDX-License-Identifier: Apache-2.0
"""A prefix as it is found in practice: mostly books, and of everything else a little."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable, Mapping
from pathlib import Path

from airflow_provider_aigen.simulator.books.book import book_file
from airflow_provider_aigen.simulator.books.manifest import (
    Entry,
    Expected,
    Said,
    said,
    write_manifest,
    write_object,
)
from airflow_provider_aigen.simulator.books.oddities import blank_page, cat, pdf, thumbnail, too_long, truncated
from airflow_provider_aigen.simulator.codes import NOT_FOUND

__all__ = ["SMALLEST", "write_books"]

THAI_NAME = "สมุดทะเบียนรถ คุณสมชาย (สำเนา).jpg"
EMOJI_NAME = "scan 12 of 3 🚗 final.jpg"
NOTE = "รายการสแกนประจำวัน\n"
BOOK_EXPECTED = Expected("book")
_NOT_FOUND = said(400, NOT_FOUND, Said(400, "400"))
_UNREADABLE = said(400, "1003", Said(422, "20002"))
# Books that are no plain JPEG: file name's end, format. Another PNG for each twenty books.
_FORMATS = ((".webp", "WEBP"), (".tiff", "TIFF"), (".png", "PNG"))


@dataclasses.dataclass(frozen=True, slots=True)
class Oddity:
    """Something that is no plain book: its file name's end, its bytes from a number of its own, what becomes of it."""

    end: str
    make: Callable[[int], bytes]
    expected: Expected


def _refused(kind: str, answers: Mapping[str, Said], code: str | None = None) -> Expected:
    return Expected(kind, "dead_letter", answers, error_code=code, preflight=code is not None)


def _oddities(seed: int) -> tuple[Oddity, ...]:
    chance = random.Random(f"{seed}:oddities")  # noqa: S311 — made-up documents, not secrets
    half_good = said(206, NOT_FOUND, Said(206, "400"))
    return (
        Oddity(".jpg", lambda _: blank_page(chance), _refused("blank_page", _NOT_FOUND)),
        Oddity(".jpg", lambda _: cat(chance), _refused("cat", _NOT_FOUND)),
        Oddity(".jpg", lambda n: thumbnail(n, seed), _refused("thumbnail", said(400, "1001"), "1001")),
        Oddity(".jpg", lambda n: truncated(n, seed), _refused("truncated_jpeg", _UNREADABLE)),
        Oddity(
            ".pdf",
            lambda n: pdf(n, seed, bad_page=blank_page(chance)),
            Expected("pdf_with_a_bad_page", "partial", half_good),
        ),
        Oddity(".pdf", lambda n: pdf(n, seed), Expected("pdf")),
        Oddity(".png", lambda _: too_long(), _refused("too_long", said(400, "1002", Said(413, "20000")), "1002")),
        Oddity(".jpg", lambda _: b"", _refused("empty_object", _UNREADABLE, "empty_object")),
        Oddity(".txt", lambda _: NOTE.encode(), _refused("text", _UNREADABLE, "unsupported_media_type")),
    )


# The oddities, a duplicate, and as many books as there are formats and odd names.
SMALLEST = 9 + 1 + len(_FORMATS) + 3


def write_books(out: Path, count: int = 60, seed: int = 7) -> list[Entry]:
    """Writes ``count`` objects into OUT/images and what is to become of them into OUT/manifest.json; returns that.

    In each sixty: nine that are no plain book, one book twice under different names, a WebP, a TIFF, PNGs, a Thai name
    and one with spaces and an emoji. Same arguments and versions, same bytes. ValueError for a count under `SMALLEST`.
    """
    if count < SMALLEST:
        raise ValueError(f"at least {SMALLEST} objects: so many kinds there are")
    oddities = _oddities(seed) * max(1, count // 60)
    place = random.Random(f"{seed}:places")  # noqa: S311 — made-up documents, not secrets
    # The first is a book and the last its duplicate, so that a listing meets the book first.
    odd_places = dict(zip(place.sample(range(2, count), len(oddities)), oddities, strict=True))
    entries, books = [], 0
    for number in range(1, count):
        name = f"images/scan-{number:04}"
        if number in odd_places:
            odd = odd_places[number]
            # Numbers of their own: a page of a PDF is no other book's twin.
            data = odd.make(1_000_000 + 2 * number)
            entries.append(write_object(out, name + odd.end, data, odd.expected))
            continue
        books += 1
        entries.append(_book(out, name, number, books, seed))
    first = (out / "images/scan-0001.jpg").read_bytes()
    entries.append(write_object(out, f"images/scan-{count:04}-copy.jpg", first, BOOK_EXPECTED))
    return write_manifest(out, entries)


def _book(out: Path, name: str, number: int, nth: int, seed: int) -> Entry:
    if nth == 2:
        return write_object(out, f"images/{THAI_NAME}", book_file(number, seed), BOOK_EXPECTED)
    if nth == 3:
        return write_object(out, f"images/{EMOJI_NAME}", book_file(number, seed), BOOK_EXPECTED)
    end, media_format = ".jpg", "JPEG"
    if 4 <= nth < 4 + len(_FORMATS):
        end, media_format = _FORMATS[nth - 4]
    elif nth % 20 == 0:
        end, media_format = ".png", "PNG"
    return write_object(out, name + end, book_file(number, seed, media_format), BOOK_EXPECTED)
