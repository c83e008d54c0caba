# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from xml.etree import ElementTree as ET

from benchmarks.performance_page import PAGE, PLOT, Measured, plot, put_into, tables
from benchmarks.rows import EXPERT_SAME_REQUESTS, PROVIDER, THREADS

RESULTS = {
    (THREADS, 0): [Measured(100, 8, 10), Measured(50, 16, 12)],
    (EXPERT_SAME_REQUESTS, 0): [Measured(300, 2, 10), Measured(150, 4, 12)],
    (PROVIDER, 0): [Measured(200, 4, 10), Measured(100, 8, 12)],
}


def test_a_ratio_is_one_of_the_same_round_and_a_target_that_is_missed_says_so():
    shown = tables(RESULTS, 10)
    assert (
        f"| processor time per document at 0 ms ÷ *{EXPERT_SAME_REQUESTS}* | at most 1.5 | 2.00 | **missed** |" in shown
    )
    assert f"| documents per second at 0 ms ÷ *{THREADS}* | at least 2.0 | 2.00 | met |" in shown
    assert "at 300 ms" not in shown


def test_the_plot_is_an_svg_and_so_is_the_one_in_the_docs():
    for drawn in (plot(RESULTS), PLOT.read_text(encoding="utf-8")):
        ET.fromstring(drawn)
        assert PROVIDER in drawn


def test_the_page_takes_what_is_measured_again():
    page = PAGE.read_text(encoding="utf-8")
    once = put_into(page, "| one |\n")
    assert put_into(once, "| two |\n") == put_into(page, "| two |\n") != once
