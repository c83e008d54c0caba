# SPDX-License-Identifier: Apache-2.0
"""Compares what preflight says of files with what other readers do; ``make files`` runs it in their environment.

A file is good if Pillow, pillow-heif or pikepdf opens it as a whole. Preflight may refuse none of those in the formats
that OCR services read, and where both know a size it is the same one.
"""

from __future__ import annotations

import io
import logging
import signal
import sys
import tarfile
import warnings
import zipfile
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

import pikepdf
import pillow_heif
from PIL import Image

from airflow_provider_aigen.core.document.image_headers import read_header

# Pillow's names of the formats that OCR services read.
FORMATS = {
    "JPEG": "JPEG",
    "MPO": "JPEG",
    "JPEG2000": "JPEG 2000",
    "PNG": "PNG",
    "WEBP": "WebP",
    "TIFF": "TIFF",
    "BMP": "BMP",
    "DIB": "BMP",
    "GIF": "GIF",
    "PPM": "PNM",
    "PDF": "PDF",
    "HEIF": "HEIC",
    "AVIF": "AVIF",
}
EXPLAINED = {"invalid_id.heic": "the primary item that it names is no image, and libheif shows another one"}
MOST_PIXELS = 50_000_000  # of a larger image only the header is read
SECONDS = 60

Size = tuple[int, int]


def compare(sources: Path) -> int:
    """Print a table and what differs; 1 where a good file is refused or has another size."""
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    notes: list[str] = []
    failed = False
    for name, data in files(sources):
        good = opened(data, name)
        header = read_header(data)
        if good is None:
            counts["opened by no reader"]["sent"] += header is not None
            continue
        kind, size = good
        count = counts[kind]
        count["files"] += 1
        if header is None:
            count["refused"] += 1
            notes.append(f"refused: {name}")
            failed = True
        elif header.size is None:
            count["size unknown"] += 1
            notes += [f"size unknown: {name}, {size}"] if size else []
        elif size is None or sorted(header.size) == sorted(size):  # not every reader turns the image
            count["same size"] += 1
        else:
            count["other size"] += 1
            why = EXPLAINED.get(Path(name).name)
            failed = failed or why is None
            notes.append(f"other size: {name}, {header.size} and {size}: {why or 'why?'}")
    columns = ("files", "refused", "same size", "size unknown", "other size")
    print("".join(f"{column:>14}" for column in ("format", *columns)))
    for kind in sorted(set(FORMATS.values())):
        print(f"{kind:>14}" + "".join(f"{counts[kind][column]:>14}" for column in columns))
    total = sum((counts[kind] for kind in set(FORMATS.values())), Counter[str]())
    print(f"{'all':>14}" + "".join(f"{total[column]:>14}" for column in columns))
    print(f"{counts['opened by no reader']['sent']} more would be sent that no reader opened")
    print(*notes, sep="\n")
    return int(failed)


def files(sources: Path) -> Iterator[tuple[str, bytes]]:
    """(name, contents) of each file of the packages; the same contents once."""
    seen: set[bytes] = set()
    for package in sorted(sources.glob("*/*")):
        for name, data in members(package):
            digest = sha256(data).digest()
            if data and digest not in seen:
                seen.add(digest)
                yield name, data


def members(package: Path) -> Iterator[tuple[str, bytes]]:
    """The files of one source distribution."""
    if package.suffix == ".zip":
        with zipfile.ZipFile(package) as archive:
            for entry in archive.infolist():
                yield entry.filename, archive.read(entry)
        return
    with tarfile.open(package) as archive:
        for member in archive:
            if (file := archive.extractfile(member) if member.isfile() else None) is not None:
                yield member.name, file.read()


def opened(data: bytes, name: str) -> tuple[str, Size | None] | None:
    """(format, size) where one opens it as a whole; None where none does, or in another format."""
    signal.alarm(SECONDS)
    try:
        with suppress(Exception):
            return _image(data)
        if name.lower().endswith(".pdf"):
            with suppress(Exception):
                return _pdf(data)
    finally:
        signal.alarm(0)
    return None


def _image(data: bytes) -> tuple[str, Size] | None:
    with Image.open(io.BytesIO(data)) as image:
        if image.format not in FORMATS:
            return None
        sizes = [image.size]
        if image.width * image.height <= MOST_PIXELS:
            image.load()
        if image.format == "TIFF":
            for number in range(1, image.n_frames):
                image.seek(number)
                sizes.append(image.size)
        return FORMATS[image.format], max(sizes, key=lambda size: size[0] * size[1])


def _pdf(data: bytes) -> tuple[str, None] | None:
    with pikepdf.open(io.BytesIO(data)) as pdf:
        return ("PDF", None) if len(pdf.pages) else None


def prepare() -> None:
    """Readers speak to the log only, open HEIC, and are interrupted after a while."""

    def interrupt(*_: Any) -> None:
        raise TimeoutError

    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    Image.MAX_IMAGE_PIXELS = None
    pillow_heif.register_heif_opener()
    signal.signal(signal.SIGALRM, interrupt)


if __name__ == "__main__":
    prepare()
    sys.exit(compare(Path(sys.argv[1])))
