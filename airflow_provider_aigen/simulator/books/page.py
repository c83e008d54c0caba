# SPDX-License-Identifier: Apache-2.0
"""A registration book filled in: values typed onto the form, a stamp, a signature; and where each value stands."""

from __future__ import annotations

import math
import random

from PIL import Image, ImageDraw

from airflow_provider_aigen.simulator.books.form import LINES, Line, blank_form
from airflow_provider_aigen.simulator.books.lettering import BOLD, REGULAR
from airflow_provider_aigen.simulator.truth import TrueField

__all__ = ["draw_page"]

VALUE_SIZE, SMALLEST_SIZE = 34, 20
INKS = ((24, 26, 36), (30, 34, 70), (52, 40, 40))
STAMPS = ((178, 32, 48), (44, 50, 150), (120, 40, 130))
PAD = 4


def draw_page(values: dict[str, str], chance: random.Random) -> tuple[Image.Image, dict[str, TrueField]]:
    """A clean page, RGB, and the truth about it. KeyError for a field that the form doesn't have."""
    image = blank_form().copy()
    ink = chance.choice(INKS)
    # A printer feeds the booklet never quite straight under its head.
    dx, dy = chance.randint(-4, 12), chance.randint(-7, 3)
    fields = {}
    for name, value in values.items():
        line = LINES[name]
        second = LINES.get(f"{name}:2")
        texts = [value] if second is None else _two_lines(value, line)
        boxes = []
        for text, place in zip(texts, (line, second), strict=False):
            if place is not None:
                boxes.append(_type(image, text, place, (dx, dy), ink))
        fields[name] = TrueField(value, tuple(boxes))
    _signature(image, chance)
    _stamp(image, chance)
    return image, fields


def _type(
    image: Image.Image, text: str, place: Line, shift: tuple[int, int], ink: tuple[int, int, int]
) -> tuple[tuple[int, int], ...]:
    room = place.right - place.left - 16
    size = next((s for s in range(VALUE_SIZE, SMALLEST_SIZE, -1) if REGULAR.width(text, s) <= room), SMALLEST_SIZE)
    at = (place.left + 8 + shift[0], place.baseline + shift[1])
    left, top, right, bottom = REGULAR.draw(image, at, text, size, ink)
    left, top, right, bottom = left - PAD, top - PAD, right + PAD, bottom + PAD
    return ((left, top), (right, top), (right, bottom), (left, bottom))


def _two_lines(text: str, line: Line) -> list[str]:
    """The words that stand on the first line, and the others, if any. Nobody types up to the edge."""
    words = text.split(" ")
    for count in range(len(words), 0, -1):
        first = " ".join(words[:count])
        if REGULAR.width(first, VALUE_SIZE) <= (line.right - line.left) * 0.8:
            return [first] if count == len(words) else [first, " ".join(words[count:])]
    return [text]


def _stamp(image: Image.Image, chance: random.Random) -> None:
    size = 270
    mask = Image.new("L", (size, size), 0)
    draw = ImageDraw.Draw(mask)
    draw.ellipse((6, 6, size - 6, size - 6), outline=235, width=6)
    draw.ellipse((24, 24, size - 24, size - 24), outline=235, width=2)
    for text, at, letters in (("ตัวอย่าง", 122, 50), ("SPECIMEN", 166, 28), ("สำนักงานสมมุติ", 206, 24)):
        BOLD.draw(mask, ((size - BOLD.width(text, letters)) // 2, at), text, letters, 235)
    turned = mask.rotate(chance.uniform(-25, 25), expand=True, resample=Image.Resampling.BILINEAR)
    turned = turned.point([round(v * 0.75) for v in range(256)])
    image.paste(chance.choice(STAMPS), (chance.randint(480, 640), chance.randint(1880, 1930)), turned)


def _signature(image: Image.Image, chance: random.Random) -> None:
    x, phase, speed = 980.0, chance.uniform(0, 6), chance.uniform(0.26, 0.42)
    points = []
    for step in range(90):
        height = 34 * math.exp(-step / 55) * math.sin(step * speed + phase) + 9 * math.sin(step * 0.13 + phase)
        points.append((x, 2056 - height))
        x += 3.4 + 3.2 * math.cos(step * speed * 0.9)
    ImageDraw.Draw(image).line(points, fill=(28, 40, 120), width=4, joint="curve")
