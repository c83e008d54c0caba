# SPDX-License-Identifier: Apache-2.0
"""What ``benchmarks.documents`` measured, as tables and a plot for ``docs/performance.md``.

Ratios are taken round by round, between processes that ran within the same minutes, and their median is shown.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median

from benchmarks.rows import EXPERT, EXPERT_SAME_REQUESTS, PROVIDER, THREADS

__all__ = ["PAGE", "PLOT", "Measured", "Results", "plot", "put_into", "tables", "write"]

PAGE = Path(__file__).resolve().parent.parent / "docs" / "performance.md"
PLOT = PAGE.with_suffix(".svg")
_MARKS = "<!-- measured: make bench -->", "<!-- end of what was measured -->"
_WIDTH, _BAR, _GAP, _LEFT, _PANEL = 760, 15, 5, 262, 225
_FONT = 'font-family="sans-serif" font-size="11"'
_COLOURS = {PROVIDER: "#e07a1f", EXPERT_SAME_REQUESTS: "#2a6f97"}


@dataclass(frozen=True)
class Measured:
    """One run of a row; ``peak_mib`` is what the process's memory rose by."""

    per_s: float
    cpu_ms: float
    peak_mib: float


# Of each row and latency in milliseconds, round by round.
Results = Mapping[tuple[str, int], Sequence[Measured]]
_Figure = Callable[[Measured], float]


def _per_s(measured: Measured) -> float:
    return measured.per_s


def _cpu_ms(measured: Measured) -> float:
    return measured.cpu_ms


def _peak_mib(measured: Measured) -> float:
    return measured.peak_mib


# What is compared, of which figure, at which latency, with which row, the bound, and whether it is the least.
_TARGETS: tuple[tuple[_Figure, int, str, float, bool], ...] = (
    (_cpu_ms, 0, EXPERT_SAME_REQUESTS, 1.5, False),
    (_cpu_ms, 300, EXPERT_SAME_REQUESTS, 1.5, False),
    (_per_s, 0, EXPERT_SAME_REQUESTS, 0.7, True),
    (_per_s, 300, EXPERT, 1.0, True),
    (_cpu_ms, 0, THREADS, 0.6, False),
    (_cpu_ms, 300, THREADS, 0.6, False),
    (_per_s, 0, THREADS, 2.0, True),
)
_NAMES = {_per_s: "documents per second", _cpu_ms: "processor time per document"}


def _middle(results: Results, row: str, latency: int, figure: _Figure) -> float:
    return median(figure(each) for each in results[row, latency])


def _ratio(results: Results, row: str, other: str, latency: int, figure: _Figure) -> float:
    pairs = zip(results[row, latency], results[other, latency], strict=True)
    return median(figure(one) / figure(two) for one, two in pairs)


def tables(results: Results, documents: int) -> str:
    """Markdown: targets, then every row. Without some rows, only what can be said."""
    parts = [_conditions(results, documents), _targets(results), _rows(results)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _conditions(results: Results, documents: int) -> str:
    rounds = len(next(iter(results.values())))
    return (
        f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores, Python {platform.python_version()}, Airflow "
        f"{version('apache-airflow')}: {documents} documents in each run, medians of {rounds} interleaved rounds."
    )


def _targets(results: Results) -> str:
    lines = ["| This provider | target | measured | |", "|---|--:|--:|---|"]
    for figure, latency, row, bound, least in _TARGETS:
        if (row, latency) in results and (PROVIDER, latency) in results:
            ratio = _ratio(results, PROVIDER, row, latency, figure)
            met = "met" if (ratio >= bound if least else ratio <= bound) else "**missed**"
            asked = f"{'at least' if least else 'at most'} {bound:.1f}"
            lines.append(f"| {_NAMES[figure]} at {latency} ms ÷ *{row}* | {asked} | {ratio:.2f} | {met} |")
    return "\n".join(lines) if len(lines) > 2 else ""


def _rows(results: Results) -> str:
    latencies = sorted({latency for _, latency in results})
    head = "".join(f" documents/s at {latency} ms | CPU ms per document | peak MiB |" for latency in latencies)
    lines = [f"| |{head}", "|---|" + "--:|" * 3 * len(latencies)]
    for row in dict.fromkeys(row for row, _ in results):
        cells = [f"**{row}**" if row == PROVIDER else row]
        for latency in latencies:
            cells += [
                f"{_middle(results, row, latency, _per_s):.0f}",
                f"{_middle(results, row, latency, _cpu_ms):.1f}",
                f"{_middle(results, row, latency, _peak_mib):.0f}",
            ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def plot(results: Results) -> str:
    """An SVG of bars: documents per second and processor time, for each row at each latency."""
    latencies, rows = sorted({latency for _, latency in results}), list(dict.fromkeys(row for row, _ in results))
    height = (len(rows) * (_BAR + _GAP) + 34) * len(latencies)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" {_FONT}>',
        f'<rect width="{_WIDTH}" height="{height}" fill="white"/>',
    ]
    for number, latency in enumerate(latencies):
        top = number * height // len(latencies) + 26
        parts += [_text(_LEFT - 6, top + at * (_BAR + _GAP) + 12, row, "end") for at, row in enumerate(rows)]
        for panel, (figure, digits) in enumerate(((_per_s, 0), (_cpu_ms, 1))):
            left = _LEFT + panel * (_PANEL + 25)
            parts.append(_text(left, top - 8, f"{_NAMES[figure]}{', ms' * panel}: endpoint of {latency} ms", "start"))
            values = [_middle(results, row, latency, figure) for row in rows]
            for at, (row, value) in enumerate(zip(rows, values, strict=True)):
                wide, y = value / max(values) * (_PANEL - 35), top + at * (_BAR + _GAP)
                colour = _COLOURS.get(row, "#999")
                parts.append(f'<rect x="{left}" y="{y}" width="{wide:.1f}" height="{_BAR}" fill="{colour}"/>')
                parts.append(_text(left + wide + 4, y + 12, f"{value:.{digits}f}", "start"))
    return "\n".join([*parts, "</svg>"]) + "\n"


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}">{text}</text>'


def put_into(page: str, measured: str) -> str:
    """The page with ``measured`` between its two marks, in place of what was there."""
    before, begin, rest = page.partition(_MARKS[0])
    _, end, after = rest.partition(_MARKS[1])
    assert begin, "the page has lost its first mark"
    assert end, "the page has lost its second mark"
    return f"{before}{begin}\n\n{measured}\n{end}{after}"


def write(results: Results, documents: int) -> None:
    """Put both into the documentation."""
    PAGE.write_text(put_into(PAGE.read_text(encoding="utf-8"), tables(results, documents)), encoding="utf-8")
    PLOT.write_text(plot(results), encoding="utf-8")
