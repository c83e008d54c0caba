# SPDX-License-Identifier: Apache-2.0
"""Thai text on a picture: shaped by HarfBuzz, so that vowels and tone marks stand where they belong, and painted glyph
by glyph. Pillow alone places them wrongly wherever its wheel finds no libfribidi.

The font is FiraGO (SIL Open Font License), from the package pymupdf-fonts.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import pymupdf_fonts
import uharfbuzz as hb
from PIL import Image

__all__ = ["BOLD", "REGULAR", "Typeface"]

Colour = tuple[int, int, int]


@dataclasses.dataclass(frozen=True, slots=True)
class Glyph:
    """A painted glyph and where it goes: px right of and above the pen."""

    mask: Image.Image
    left: int
    top: int


class Typeface:
    """One face of the font. ``name`` as in pymupdf-fonts."""

    def __init__(self, name: str) -> None:
        self._face = hb.Face(pymupdf_fonts.myfont(name))
        self._fonts: dict[int, Any] = {}
        self._glyphs: dict[tuple[int, int], Glyph | None] = {}

    def width(self, text: str, size: int) -> int:
        """How wide a line is, in px."""
        return round(sum(advance for _, advance, _, _ in self._shaped(text, size)))

    def draw(
        self, image: Image.Image, at: tuple[int, int], text: str, size: int, colour: Any
    ) -> tuple[int, int, int, int]:
        """Paints a line with its baseline starting at ``at``; returns left, top, right, bottom of its ink in px.
        ValueError where the font has no glyph for a character."""
        pen, baseline = float(at[0]), at[1]
        left, top, right, bottom = image.width, image.height, 0, 0
        for glyph_id, advance, dx, dy in self._shaped(text, size):
            if glyph_id == 0:
                raise ValueError("the font has no glyph for a character of this text")
            glyph = self._painted(glyph_id, size)
            if glyph is not None:
                x, y = round(pen + dx) + glyph.left, baseline - round(dy) - glyph.top
                image.paste(colour, (x, y), glyph.mask)
                left, top = min(left, x), min(top, y)
                right, bottom = max(right, x + glyph.mask.width), max(bottom, y + glyph.mask.height)
            pen += advance
        return left, top, right, bottom

    @functools.lru_cache(maxsize=4096)  # noqa: B019 — two faces live as long as the process does
    def _shaped(self, text: str, size: int) -> tuple[tuple[int, float, float, float], ...]:
        """Glyph, advance, and offsets right and up in px, for each glyph of a line."""
        if not text:
            return ()
        buffer = hb.Buffer()
        buffer.add_str(text)
        buffer.guess_segment_properties()
        hb.shape(self._font(size), buffer)
        return tuple(
            (info.codepoint, place.x_advance / 64, place.x_offset / 64, place.y_offset / 64)
            for info, place in zip(buffer.glyph_infos, buffer.glyph_positions, strict=True)
        )

    def _font(self, size: int) -> Any:
        if size not in self._fonts:
            self._fonts[size] = hb.Font(self._face)
            self._fonts[size].scale = (size * 64, size * 64)
        return self._fonts[size]

    def _painted(self, glyph_id: int, size: int) -> Glyph | None:
        if (glyph_id, size) not in self._glyphs:
            raster = hb.RasterDraw()
            raster.scale_factor = (64.0, 64.0)
            raster.draw_glyph(self._font(size), glyph_id)
            painted = raster.render()
            box = painted.extents
            self._glyphs[glyph_id, size] = None
            if box.width and box.height:
                mask = Image.frombytes("L", (box.width, box.height), bytes(painted.buffer), "raw", "L", box.stride, -1)
                self._glyphs[glyph_id, size] = Glyph(mask, box.x_origin, box.y_origin + box.height)
        return self._glyphs[glyph_id, size]


REGULAR = Typeface("figo")
BOLD = Typeface("figbo")
