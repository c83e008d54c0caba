# SPDX-License-Identifier: Apache-2.0
"""Bytes → media type, size, pages, and the truth in their metadata; and the other way, an image with its truth inside.

Nothing is decoded: sizes and metadata come from headers, and whether the file is whole from its end. Where the truth
goes: JPEG comment, PNG text chunk, the ImageDescription tag of TIFF and WebP. A PDF has it in the JPEG of each page.
"""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Callable
from typing import Any

from PIL import (
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from airflow_provider_aigen.simulator.pdf import jpegs_of
from airflow_provider_aigen.simulator.truth import Truth

__all__ = ["Page", "Scan", "add_truth", "read_scan", "save_image"]

PNG_KEYWORD = "aigen-simulator"
IMAGE_DESCRIPTION = 0x010E
_COM = b"\xff\xfe"
# The classes themselves, not `Image.open`: that refuses sizes which the contract allows or has a code for.
_READERS: tuple[tuple[Callable[[bytes], bool], Callable[..., Image.Image]], ...] = (
    (lambda data: data.startswith(b"\xff\xd8\xff"), JpegImagePlugin.JpegImageFile),
    (lambda data: data.startswith(b"\x89PNG\r\n\x1a\n"), PngImagePlugin.PngImageFile),
    (lambda data: data[:4] == b"RIFF" and data[8:12] == b"WEBP", WebPImagePlugin.WebPImageFile),
    (lambda data: data[:4] in (b"II*\x00", b"MM\x00*"), TiffImagePlugin.TiffImageFile),
    (lambda data: data[:6] in (b"GIF87a", b"GIF89a"), GifImagePlugin.GifImageFile),
    (lambda data: data.startswith(b"BM"), BmpImagePlugin.BmpImageFile),
)


@dataclasses.dataclass(frozen=True, slots=True)
class Page:
    """Width and height in px, 0 where a page of a PDF has no picture; the truth, if it carries one."""

    width: int
    height: int
    truth: Truth | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Scan:
    """What a file turned out to be. No pages: it can't be read."""

    size_bytes: int
    pages: tuple[Page, ...] = ()
    is_pdf: bool = False


def read_scan(data: bytes) -> Scan:
    """Never raises: what can't be read is a scan without pages."""
    try:
        if data.startswith(b"%PDF-"):
            pages = (_image_page(jpeg) if jpeg is not None else None for jpeg in jpegs_of(data))
            return Scan(len(data), tuple(page or Page(0, 0) for page in pages), is_pdf=True)
        page = _image_page(data)
    except Exception:  # noqa: BLE001 — parsers of hostile bytes raise anything; all of it means the same here
        return Scan(len(data))
    return Scan(len(data), () if page is None else (page,))


def _image_page(data: bytes) -> Page | None:
    reader = next((reader for matches, reader in _READERS if matches(data)), None)
    if reader is None:
        return None
    with reader(io.BytesIO(data)) as image:
        if _cut_off(data, image.format):
            return None
        return Page(image.width, image.height, _truth_of(image))


def _cut_off(data: bytes, media_format: str | None) -> bool:
    """The header is there, the picture isn't. A JPEG's thumbnail has an end as well, but before the last scan."""
    if media_format == "JPEG":
        return data.rfind(b"\xff\xd9") < data.rfind(b"\xff\xda")
    return media_format == "PNG" and b"IEND" not in data[-64:]


def _truth_of(image: Image.Image) -> Truth | None:
    text: Any = image.info.get("comment") or image.info.get(PNG_KEYWORD)
    if text is None and image.format in ("TIFF", "WEBP"):
        text = image.getexif().get(IMAGE_DESCRIPTION)
    return Truth.from_json(text) if isinstance(text, str | bytes) else None


def save_image(image: Image.Image, media_format: str, truth: Truth | None = None, **settings: Any) -> bytes:
    """The image as JPEG, PNG, WEBP or TIFF with the truth inside; ``settings`` go to Pillow's writer."""
    out = io.BytesIO()
    if truth is not None:
        match media_format:
            case "JPEG":
                settings["comment"] = truth.to_json().encode()
            case "PNG":
                settings["pnginfo"] = PngImagePlugin.PngInfo()
                settings["pnginfo"].add_itxt(PNG_KEYWORD, truth.to_json())
            case "TIFF":
                settings["description"] = truth.to_json(ascii_only=True)
            case "WEBP":
                settings["exif"] = Image.Exif()
                settings["exif"][IMAGE_DESCRIPTION] = truth.to_json(ascii_only=True)
            case _:
                raise ValueError(f"no place for a truth in {media_format}")
    image.save(out, media_format, **settings)
    return out.getvalue()


def add_truth(jpeg: bytes, truth: Truth) -> bytes:
    """A JPEG with its truth (or another one) in it, the picture as it was: for answers with a marker."""
    start = 2
    while jpeg[start : start + 1] == b"\xff" and (jpeg[start + 1] in (0xFE, *range(0xE0, 0xF0))):
        length = int.from_bytes(jpeg[start + 2 : start + 4])
        if jpeg[start + 1] == 0xFE:
            jpeg = jpeg[:start] + jpeg[start + 2 + length :]
        else:
            start += 2 + length
    text = truth.to_json().encode()
    return jpeg[:start] + _COM + (len(text) + 2).to_bytes(2) + text + jpeg[start:]
