# SPDX-License-Identifier: Apache-2.0
"""What also lies under a prefix: blank pages, a cat, thumbnails, files cut off, files that are no pictures."""

from __future__ import annotations

import math
import random

from PIL import Image, ImageDraw

from airflow_provider_aigen.simulator.books.book import book_file, book_page
from airflow_provider_aigen.simulator.books.degrade import degraded
from airflow_provider_aigen.simulator.books.form import HEIGHT, WIDTH
from airflow_provider_aigen.simulator.images import save_image
from airflow_provider_aigen.simulator.pdf import pdf_of
from airflow_provider_aigen.simulator.truth import Degradation

__all__ = ["blank_page", "cat", "pdf", "thumbnail", "too_long", "truncated"]


def blank_page(chance: random.Random) -> bytes:
    """The back of a sheet: paper and noise."""
    paper = Image.new("RGB", (WIDTH, HEIGHT), (248, 247, 241))
    return save_image(degraded(paper, Degradation(0.6, 3.0, chance.uniform(-1, 1)), chance), "JPEG", quality=50)


def cat(chance: random.Random) -> bytes:
    """A cat, not a book."""
    image = Image.new("RGB", (1280, 960), (206, 222, 214))
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 760, 1280, 960), fill=(168, 132, 98))
    fur = chance.choice(((226, 148, 66), (92, 92, 100), (60, 54, 52)))
    dark = tuple(round(value * 0.72) for value in fur)
    tail = [(905 + 110 * math.sin(t / 7), 830 - 13 * t) for t in range(32)]
    draw.line(tail, fill=fur, width=52, joint="curve")
    draw.ellipse((400, 430, 930, 900), fill=fur)
    for x in (470, 760):
        draw.ellipse((x - 30, 800, x + 130, 905), fill=fur, outline=dark, width=5)
    for left, tip, right in (((420, 250), (430, 90), (560, 190)), ((910, 250), (900, 90), (770, 190))):
        draw.polygon((left, tip, right), fill=fur)
        middle = [(x * 0.6 + 665 * 0.1 + tip[0] * 0.3, y * 0.6 + 30 + tip[1] * 0.3) for x, y in (left, tip, right)]
        draw.polygon(middle, fill=(232, 170, 160))
    draw.ellipse((400, 150, 930, 590), fill=fur)
    for x in (545, 785):
        draw.ellipse((x - 62, 300, x + 62, 412), fill=(214, 226, 92))
        draw.ellipse((x - 17, 304, x + 17, 408), fill=(20, 22, 24))
        draw.ellipse((x + 2, 322, x + 16, 338), fill=(255, 255, 255))
    draw.polygon(((640, 440), (690, 440), (665, 470)), fill=(214, 120, 120))
    for start, end in ((0, 130), (50, 180)):
        draw.arc((595 + start, 450, 665 + start + 20, 510), start, end, fill=dark, width=6)
    for side in (-1, 1):
        for rise in (-34, 0, 34):
            draw.line((665 + side * 70, 468 + rise / 3, 665 + side * 300, 458 + rise), fill=(250, 250, 250), width=4)
    for x in (590, 665, 740):
        draw.line((x, 170, x + (665 - x) // 5, 250), fill=dark, width=20)
    return save_image(degraded(image, Degradation(0.8, 5.0, 0.0), chance), "JPEG", quality=80)


def thumbnail(number: int, seed: int) -> bytes:
    """A book 400 px high: under the contract's 500 on both sides."""
    image, truth = book_page(number, seed)
    image.thumbnail((400, 400))
    return save_image(image, "JPEG", truth, quality=85)


def truncated(number: int, seed: int) -> bytes:
    """A book whose upload broke off after 60 %."""
    whole = book_file(number, seed)
    return whole[: len(whole) * 6 // 10]


def pdf(number: int, seed: int, *, bad_page: bytes | None = None) -> bytes:
    """Two pages: two books, or a book and then another page."""
    return pdf_of([book_file(number, seed), bad_page or book_file(number + 1, seed)])


def too_long() -> bytes:
    """A side of 10,001 px, one over the contract's."""
    return save_image(Image.new("1", (10_001, 600), 1), "PNG")
