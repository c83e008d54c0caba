# SPDX-License-Identifier: Apache-2.0
"""docs/simulator.md: its Python runs, its options are those that there are."""

from __future__ import annotations

import re
from pathlib import Path

from airflow_provider_aigen.simulator.__main__ import parser

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "simulator.md").read_text(encoding="utf-8")


def test_its_python_runs():
    blocks = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    assert len(blocks) == 2
    for block in blocks:
        exec(compile(block, "docs/simulator.md", "exec"), {})


def test_its_table_has_every_option_of_the_command_line():
    table = TEXT.partition("## Options")[2].partition("\n## ")[0]
    told = set(re.findall(r"`(--[a-z-]+)", table))
    assert told == {name for action in parser()._actions for name in action.option_strings} - {"-h", "--help"}
