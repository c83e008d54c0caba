# SPDX-License-Identifier: Apache-2.0
"""Draws ``docs/pace.svg``: the pace of one task over time, from the real limiter on a simulated clock.

``python -m benchmarks.pace_plot``. 10 calls/s allowed; at 10 s the endpoint answers 429 with ``Retry-After: 5``, at
30 s, before the pace has recovered, once more with ``Retry-After: 2``.
"""

from __future__ import annotations

import asyncio
import bisect
from collections.abc import Sequence
from pathlib import Path

from airflow_provider_aigen.adapters.limits.local import LocalRateLimiter
from tests.kit.clock import FakeClock

SVG = Path(__file__).resolve().parent.parent / "docs" / "pace.svg"
_LIMIT = 10.0
_END_S = 80.0
_THROTTLED = {10.0: 5.0, 30.0: 2.0}
_WIDTH, _HEIGHT, _LEFT, _TOP, _BOTTOM = 760.0, 260.0, 46.0, 24.0, 34.0
_FONT = 'font-family="sans-serif" font-size="11"'
_LEGEND = "calls per second: dashed the limit, orange the pace, blue started in the last second; red: Retry-After"


async def _simulate() -> tuple[list[float], list[tuple[float, float]]]:
    """When calls started, and the limiter's rate each quarter of a second."""
    clock = FakeClock()
    limiter = LocalRateLimiter(_LIMIT, clock)
    begun_s = clock.monotonic()
    starts: list[float] = []
    rates: list[tuple[float, float]] = []

    async def caller() -> None:
        while clock.monotonic() - begun_s < _END_S:
            turn = await limiter.acquire()
            starts.append(clock.monotonic() - begun_s)
            await clock.sleep(0.2)
            await turn.succeeded()

    async def throttle(at_s: float, pause_s: float) -> None:
        await clock.sleep(at_s)
        turn = await limiter.acquire()
        await turn.throttled(pause_s)

    async def watch() -> None:
        while (now := clock.monotonic() - begun_s) < _END_S:
            rates.append((now, limiter.rate))
            await clock.sleep(0.25)

    callers = [caller() for _ in range(6)]
    await clock.run(asyncio.gather(watch(), *callers, *(throttle(*each) for each in _THROTTLED.items())))
    return starts, rates


def _line(points: Sequence[tuple[float, float]], style: str) -> str:
    along = (_WIDTH - _LEFT - 10) / _END_S
    up = (_HEIGHT - _TOP - _BOTTOM) / (_LIMIT * 1.1)
    at = " ".join(f"{_LEFT + x * along:.1f},{_HEIGHT - _BOTTOM - y * up:.1f}" for x, y in points)
    return f'<polyline points="{at}" fill="none" {style}/>'


def _text(x: float, y: float, text: str, anchor: str = "middle") -> str:
    return f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}">{text}</text>'


def render() -> str:
    """The SVG."""
    starts, rates = asyncio.run(_simulate())
    moments = [quarter / 4 for quarter in range(4, int(_END_S * 4))]
    seen = [(m, bisect.bisect_right(starts, m) - bisect.bisect_right(starts, m - 1)) for m in moments]
    floor = _HEIGHT - _BOTTOM
    along = (_WIDTH - _LEFT - 10) / _END_S
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH:.0f} {_HEIGHT:.0f}" {_FONT}>',
        f'<rect width="{_WIDTH:.0f}" height="{_HEIGHT:.0f}" fill="white"/>',
        *(
            f'<rect x="{_LEFT + at * along:.1f}" y="{_TOP:.0f}" width="{pause * along:.1f}" '
            f'height="{floor - _TOP:.0f}" fill="#f4d7d7"/>'
            for at, pause in _THROTTLED.items()
        ),
        _line([(0, _LIMIT), (_END_S, _LIMIT)], 'stroke="#888" stroke-dasharray="5 4"'),
        _line(seen, 'stroke="#2a6f97" stroke-width="1.2"'),
        _line(rates, 'stroke="#e07a1f" stroke-width="2"'),
        _line([(0, 0), (_END_S, 0)], 'stroke="#333"'),
        *(_text(_LEFT + x * along, floor + 15, f"{x} s") for x in range(0, int(_END_S) + 1, 10)),
        *(_text(_LEFT - 6, floor - y * (floor - _TOP) / (_LIMIT * 1.1) + 4, str(y), "end") for y in (0, 5, 10)),
        _text(_LEFT, 14, _LEGEND, "start"),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


if __name__ == "__main__":
    SVG.write_text(render(), encoding="utf-8")
