# SPDX-License-Identifier: Apache-2.0
"""A broken promise."""

from __future__ import annotations

__all__ = ["Violation", "check"]


class Violation(AssertionError):
    """A promise is broken."""


def check(holds: object, message: str) -> None:
    if not holds:
        raise Violation(message)
