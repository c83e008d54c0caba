# SPDX-License-Identifier: Apache-2.0
"""A small dose of ``make crash``, one trial of each kind; and that its checker would see what it looks for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.crash.trial import KINDS

ROOT = Path(__file__).resolve().parents[2]


def test_every_promise_holds_after_one_crash_of_each_kind():
    # In a process of its own: what it forks must not begin as a copy of pytest.
    command = [sys.executable, "-m", "tests.crash", "--trials", str(len(KINDS)), "--jobs", "4"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)
    if done.returncode:
        pytest.fail(f"{done.stdout}\n{done.stderr[-4000:]}", pytrace=False)
    assert "| all | 7 |" in done.stdout
