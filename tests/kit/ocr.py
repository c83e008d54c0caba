# SPDX-License-Identifier: Apache-2.0
"""An endpoint that follows a script, and what its documents and answers are made of."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from airflow_provider_aigen.core.models import ApiResponse, CallFailure
from airflow_provider_aigen.ports import Clock

__all__ = ["Call", "ScriptedOcr", "answer", "png", "refusal"]

Result = ApiResponse | CallFailure


def png(content: str, width: int = 600, height: int = 600) -> bytes:
    """Bytes that pass for a PNG of this size, another one for each ``content``."""
    return b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + width.to_bytes(4) + height.to_bytes(4) + content.encode()


def answer(*pages: Mapping[str, str | None]) -> ApiResponse:
    """A success with these values."""
    data = [{name: {"value": value, "confidence": 0.9} for name, value in page.items()} for page in pages]
    return ApiResponse(200, json.dumps({"status": "success", "error": [], "data": data}).encode(), 0.5)


def refusal(status: int, *codes: str) -> ApiResponse:
    errors = [{"object": "error", "code": code, "message": None} for code in codes]
    return ApiResponse(status, json.dumps({"status": "error", "error": errors, "data": [{}]}).encode(), 0.5)


@dataclass
class Call:
    """One call as the endpoint saw it; times are the clock's monotonic seconds."""

    image: bytes
    began_at: float
    ended_at: float | None = None


class ScriptedOcr:
    """``ports.OcrClient``. ``answers`` maps an image to its results, one a call, the last one again and again; an image
    without an entry gets ``default``. Each call takes ``latency_s``."""

    def __init__(self, clock: Clock, *, latency_s: float = 1.0) -> None:
        self._clock = clock
        self.latency_s = latency_s
        self.default: Callable[[bytes], Result] = lambda image: answer({"color": hashlib.md5(image).hexdigest()})
        self.answers: dict[bytes, Sequence[Result]] = {}
        self.calls: list[Call] = []
        self.in_flight = 0
        self.most_in_flight = 0

    def times(self, image: bytes) -> int:
        return sum(call.image == image for call in self.calls)

    async def call(self, image: bytes, *, before_send: Callable[[], Awaitable[None]] | None = None) -> Result:
        if before_send is not None:
            await before_send()
        script = self.answers.get(image)
        result = self.default(image) if script is None else script[min(self.times(image), len(script) - 1)]
        call = Call(image, self._clock.monotonic())
        self.calls.append(call)
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            await self._clock.sleep(self.latency_s)
        finally:
            self.in_flight -= 1
        call.ended_at = self._clock.monotonic()
        return result
