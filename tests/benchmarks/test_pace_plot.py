# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from xml.etree import ElementTree as ET

from benchmarks.pace_plot import SVG, render


def test_the_plot_in_the_docs_is_what_the_limiter_does():
    drawn = render()
    ET.fromstring(drawn)
    assert SVG.read_text(encoding="utf-8") == drawn, "python -m benchmarks.pace_plot draws it again"
