# SPDX-License-Identifier: Apache-2.0
"""The printed form of a registration book, drawn once a process: title, ruled rows, Thai labels, dotted lines.

Sizes in px at 200 dpi. It looks like the real one in kind, not in its emblem: pages say that they are specimens.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Iterator

from PIL import Image, ImageDraw

from airflow_provider_aigen.simulator.books.lettering import BOLD, REGULAR

__all__ = ["HEIGHT", "LINES", "WIDTH", "Line", "blank_form"]

WIDTH, HEIGHT = 1654, 2339  # A4 at 200 dpi
LEFT, RIGHT = 120, 1534
ROW = 84
LABEL_SIZE, TITLE_SIZE, SECTION_SIZE = 27, 54, 36
PAPER = (250, 249, 242)
PRINT = (38, 62, 96)
FAINT = (214, 226, 230)
RULE = (120, 140, 160)


@dataclasses.dataclass(frozen=True, slots=True)
class Line:
    """Where a value goes: baseline, and left and right end of the dotted line in px."""

    left: int
    right: int
    baseline: int


# A row: cells of (label, field or None where nothing is filled in, share of the row, unit after it).
Cell = tuple[str, str | None, float, str]
VEHICLE: tuple[tuple[Cell, ...], ...] = (
    (
        ("วันจดทะเบียน", "registration_date", 0.42, ""),
        ("เลขทะเบียน", "registration_number_car", 0.27, ""),
        ("จังหวัด", "province", 0.31, ""),
    ),
    (("ประเภท", "type", 0.58, ""), ("ลักษณะ", "characteristic", 0.42, "")),
    (("ยี่ห้อรถ", "brand_car", 0.42, ""), ("แบบ", "model", 0.58, "")),
    (("รุ่นปี ค.ศ.", "year_model", 0.42, ""), ("สี", "color", 0.58, "")),
    (("เลขตัวรถ", "car_number", 0.52, ""), ("ที่อยู่เลขตัวรถ", "car_number_position", 0.48, "")),
    (("เลขเครื่องยนต์", "engine_number", 0.52, ""), ("ที่อยู่เลขเครื่องยนต์", "engine_number_position", 0.48, "")),
    (("ยี่ห้อเครื่องยนต์", "brand_engine", 0.42, ""), ("เชื้อเพลิง", "type_fuel", 0.58, "")),
    (
        ("ลักษณะการขับเคลื่อน", "characteristic_drive", 0.58, ""),
        ("จำนวนแรงม้า", "horsepower", 0.42, "แรงม้า"),
    ),
    (("ขนาดเครื่องยนต์", "engine_size", 0.42, "ซีซี"), ("เลขถังแก๊ส", None, 0.58, "")),
    (
        ("น้ำหนักรถ", "weight_car", 0.33, "กก."),
        ("น้ำหนักรวม", "weight_all", 0.35, "กก."),
        ("จำนวนที่นั่ง", "number_of_seat", 0.32, "คน"),
    ),
)
OWNER: tuple[tuple[Cell, ...], ...] = (
    (("ลำดับที่  1     วันที่ครอบครอง", "date_of_posession", 0.68, ""), ("สัญชาติ  ไทย", None, 0.32, "")),
    (("ผู้ถือกรรมสิทธิ์", "ownership", 1.0, ""),),
    (("เลขที่บัตร", "ownership_number_of_card", 0.52, ""), ("วันเกิด", "ownership_birthday_date", 0.48, "")),
    (("ที่อยู่", "ownership_adress", 1.0, ""),),
    (("", "ownership_adress:2", 1.0, ""),),
    (("ผู้ครอบครอง", None, 0.62, ""), ("โทร.", None, 0.38, "")),
)
LEFT_EMPTY = ("เลขถังแก๊ส", "ผู้ครอบครอง", "โทร.")
VEHICLE_TOP, OWNER_TOP = 380, 1330


def _placed(top: int, rows: tuple[tuple[Cell, ...], ...]) -> Iterator[tuple[int, Cell, Line]]:
    """Each cell with its left end and the line for its value."""
    for number, row in enumerate(rows):
        x = float(LEFT)
        for cell in row:
            label, _, share, unit = cell
            left = round(x) + 30 + REGULAR.width(label, LABEL_SIZE)
            end = x + share * (RIGHT - LEFT)
            right = round(end) - 14 - (REGULAR.width(unit, LABEL_SIZE) + 10 if unit else 0)
            yield round(x), cell, Line(left, right, top + number * ROW + 58)
            x = end


# Where each field's value goes; an address goes on under ``ownership_adress:2``.
LINES = {
    cell[1]: line
    for top, rows in ((VEHICLE_TOP, VEHICLE), (OWNER_TOP, OWNER))
    for _, cell, line in _placed(top, rows)
    if cell[1] is not None
}


@functools.cache
def blank_form() -> Image.Image:
    """The form with nothing filled in. Copy it before you draw on it."""
    image = Image.new("RGB", (WIDTH, HEIGHT), PAPER)
    _background(image)
    draw = ImageDraw.Draw(image)
    draw.rounded_rectangle((90, 90, WIDTH - 90, HEIGHT - 120), 18, outline=RULE, width=4)
    draw.rounded_rectangle((100, 100, WIDTH - 100, HEIGHT - 130), 12, outline=RULE, width=1)
    _emblem(draw)
    for text, size, baseline in (("สมุดคู่มือจดทะเบียนรถ", TITLE_SIZE, 205), ("รายการจดทะเบียน", SECTION_SIZE, 270)):
        BOLD.draw(image, ((WIDTH - BOLD.width(text, size)) // 2, baseline), text, size, PRINT)
    REGULAR.draw(image, (LEFT + 10, 340), "เล่มที่  ๑๒๓-ตัวอย่าง", LABEL_SIZE, PRINT)
    _section(image, VEHICLE_TOP, VEHICLE)
    text = "เจ้าของรถ"
    BOLD.draw(image, ((WIDTH - BOLD.width(text, SECTION_SIZE)) // 2, 1295), text, SECTION_SIZE, PRINT)
    _section(image, OWNER_TOP, OWNER)
    REGULAR.draw(image, (880, 2075), "ลงชื่อ", LABEL_SIZE, PRINT)
    _dots(draw, 955, 1340, 2083)
    REGULAR.draw(image, (1355, 2075), "นายทะเบียน", LABEL_SIZE, PRINT)
    text = "เอกสารสมมุติเพื่อทดสอบระบบ ไม่ใช่เอกสารของทางราชการ · SYNTHETIC SPECIMEN, NOT A REAL DOCUMENT"
    REGULAR.draw(image, ((WIDTH - REGULAR.width(text, 22)) // 2, HEIGHT - 75), text, 22, RULE)
    return image


def _section(image: Image.Image, top: int, rows: tuple[tuple[Cell, ...], ...]) -> None:
    draw = ImageDraw.Draw(image)
    for x, (label, field, _, unit), line in _placed(top, rows):
        y = line.baseline - 58
        if x > LEFT:
            draw.line((x, y, x, y + ROW), fill=RULE, width=1)
        elif y > top and label:  # the second line of an address belongs to the row above
            draw.line((LEFT, y, RIGHT, y), fill=RULE, width=1)
        REGULAR.draw(image, (x + 18, line.baseline), label, LABEL_SIZE, PRINT)
        REGULAR.draw(image, (line.right + 10, line.baseline), unit, LABEL_SIZE, PRINT)
        if field is not None or label in LEFT_EMPTY:
            _dots(draw, line.left, line.right, line.baseline + 8)
    draw.rectangle((LEFT, top, RIGHT, top + ROW * len(rows)), outline=PRINT, width=3)


def _dots(draw: ImageDraw.ImageDraw, left: int, right: int, y: int) -> None:
    for x in range(left, right, 8):
        draw.rectangle((x, y, x + 1, y + 1), fill=RULE)


def _background(image: Image.Image) -> None:
    """Fine waves, and "specimen" across the page."""
    draw = ImageDraw.Draw(image)
    for line in range(-60, HEIGHT + 60, 26):
        wave = [(x, line + 16 * math.sin(x / 90 + line / 60) + 7 * math.sin(x / 37)) for x in range(0, WIDTH + 12, 12)]
        draw.line(wave, fill=(232, 239, 238), width=2)
    text = "ตัวอย่าง"
    layer = Image.new("L", (1300, 520), 0)
    BOLD.draw(layer, (120, 360), text, 270, 255)
    layer = layer.rotate(32, expand=True, resample=Image.Resampling.BILINEAR)
    image.paste(FAINT, ((WIDTH - layer.width) // 2, (HEIGHT - layer.height) // 2), layer)


def _emblem(draw: ImageDraw.ImageDraw) -> None:
    """A car in a ring, nobody's emblem."""
    draw.ellipse((140, 130, 290, 280), outline=PRINT, width=5)
    draw.rounded_rectangle((168, 200, 262, 232), 8, fill=PRINT)
    draw.polygon(((184, 202), (198, 174), (236, 174), (250, 202)), fill=PRINT)
    for x in (188, 242):
        draw.ellipse((x - 13, 220, x + 13, 246), fill=PRINT, outline=PAPER, width=4)
