# SPDX-License-Identifier: Apache-2.0
"""Calls over HTTP as a client makes them, and small pictures to send."""

from __future__ import annotations

import base64
import functools
import json
from pathlib import Path
from typing import Any

import httpx
from PIL import Image

from airflow_provider_aigen.simulator import DEFAULT_KEY, Degradation, Marker, TrueField, Truth, save_image

BOOK = "vehicle-registration-book"
SAMPLES = Path(__file__).resolve().parents[1] / "contract" / "samples"
# Each call on a connection of its own: the simulators of other tests are gone.
CLIENT = httpx.Client(trust_env=False, limits=httpx.Limits(max_keepalive_connections=0))
FIELDS = {
    "province": TrueField("ขอนแก่น", (((60, 80), (180, 80), (180, 120), (60, 120)),)),
    "ownership_adress": TrueField(
        "1/2 ถนนตัวอย่าง",
        (
            ((60, 200), (300, 200), (300, 240), (60, 240)),
            ((60, 250), (300, 250), (300, 290), (60, 290)),
        ),
    ),
}


def truth(simulate: Marker | None = None, document: str = BOOK, degradation: Degradation | None = None) -> Truth:
    return Truth(document, FIELDS, degradation or Degradation(), simulate)


@functools.cache
def picture(width: int = 600, height: int = 800, media_format: str = "JPEG", *, shade: int = 255) -> bytes:
    """A picture of which the simulator knows nothing."""
    return save_image(Image.new("L", (width, height), shade), media_format)


def scan(
    said: Truth | None = None, width: int = 600, height: int = 800, media_format: str = "JPEG", *, shade: int = 255
) -> bytes:
    """A picture with a truth in it; another shade, other bytes."""
    return save_image(Image.new("L", (width, height), shade), media_format, said or truth())


def marked(**marker: Any) -> bytes:
    return scan(truth(Marker(**marker)))


def post(
    url: str,
    image: bytes,
    *,
    key: str | None = DEFAULT_KEY,
    document_type: str = f"{BOOK}/v2",
    header: str = "x-aigen-key",
    timeout_s: float = 20,
) -> httpx.Response:
    """One call."""
    body = {"image": base64.b64encode(image).decode()}
    headers = {} if key is None else {header: key}
    return CLIENT.post(f"{url}/aiscript/{document_type}", json=body, headers=headers, timeout=timeout_s)


def codes_of(response: httpx.Response) -> list[str | None]:
    """The codes in an answer's ``error``, None for a null."""
    return [None if error is None else error["code"] for error in response.json()["error"]]


def sample(name: str) -> Any:
    return json.loads((SAMPLES / name).read_text(encoding="utf-8"))
