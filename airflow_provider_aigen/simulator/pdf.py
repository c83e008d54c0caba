# SPDX-License-Identifier: Apache-2.0
"""PDFs as scanners make them: one JPEG a page, in and out as it stands, never decoded."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from typing import Any

from PIL import JpegImagePlugin
from pypdf import PdfReader, PdfWriter
from pypdf.generic import DecodedStreamObject, DictionaryObject, NameObject, NumberObject, StreamObject

__all__ = ["jpegs_of", "pdf_of"]

DPI = 200
logging.getLogger("pypdf").setLevel(logging.CRITICAL)  # it quotes what it reads


def jpegs_of(data: bytes) -> Iterator[bytes | None]:
    """One item a page: the bytes of its JPEG, None for a page without one. Raises what pypdf raises."""
    for page in PdfReader(io.BytesIO(data)).pages:
        resources: Any = page.get("/Resources") or {}
        pictures = (resources["/XObject"][name] for name in resources.get("/XObject") or {})
        # `_data`, because pypdf's own way to a picture would decode it and encode it again.
        yield next((bytes(p._data) for p in pictures if p.get("/Filter") == "/DCTDecode"), None)  # noqa: SLF001


def pdf_of(jpegs: list[bytes]) -> bytes:
    """A PDF of these JPEGs, equal for equal ones."""
    writer = PdfWriter()
    for jpeg in jpegs:
        with JpegImagePlugin.JpegImageFile(io.BytesIO(jpeg)) as image:
            (width, height), colour = image.size, "/DeviceGray" if image.mode == "L" else "/DeviceRGB"
        points = width * 72 / DPI, height * 72 / DPI
        page = writer.add_blank_page(*points)
        picture = StreamObject()
        picture._data = jpeg  # noqa: SLF001 — encoded already: `set_data` would encode again
        picture.update(
            {
                NameObject("/Type"): NameObject("/XObject"),
                NameObject("/Subtype"): NameObject("/Image"),
                NameObject("/Width"): NumberObject(width),
                NameObject("/Height"): NumberObject(height),
                NameObject("/ColorSpace"): NameObject(colour),
                NameObject("/BitsPerComponent"): NumberObject(8),
                NameObject("/Filter"): NameObject("/DCTDecode"),
            }
        )
        content = DecodedStreamObject()
        content.set_data(f"q {points[0]:.2f} 0 0 {points[1]:.2f} 0 0 cm /Im0 Do Q".encode())
        place = DictionaryObject({NameObject("/Im0"): writer._add_object(picture)})  # noqa: SLF001 — no public way
        page[NameObject("/Resources")] = DictionaryObject({NameObject("/XObject"): place})
        page[NameObject("/Contents")] = writer._add_object(content)  # noqa: SLF001
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()
