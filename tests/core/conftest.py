# SPDX-License-Identifier: Apache-2.0
"""Hypothesis without a deadline: tests do not measure speed."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("core", deadline=None)
settings.load_profile("core")
