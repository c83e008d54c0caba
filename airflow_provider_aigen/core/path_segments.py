# SPDX-License-Identifier: Apache-2.0
"""An error code from outside as a part of a path, a report or a log: whatever it holds, it is short and safe there."""

from __future__ import annotations

import hashlib
import re
from urllib.parse import quote

__all__ = ["path_segment"]

_PLAIN = re.compile(r"[A-Za-z0-9_-]{1,64}")
_LIMIT = 128
_CUT_AT = 96


def path_segment(code: str) -> str:
    """``code`` for a path: ``[A-Za-z0-9_-]{1,64}`` as it is, else percent-encoded; at most 128 characters, a longer one
    is cut and ends with a hash of the whole (design §4)."""
    if _PLAIN.fullmatch(code):
        return code
    raw = code.encode("utf-8", "surrogatepass")
    encoded = quote(raw, safe="").replace(".", "%2E").replace("~", "%7E")
    if encoded and len(encoded) <= _LIMIT:
        return encoded
    whole_escapes = re.sub(r"%[0-9A-F]?$", "", encoded[:_CUT_AT])
    return f"{whole_escapes}-{hashlib.sha256(raw).hexdigest()[:16]}"
