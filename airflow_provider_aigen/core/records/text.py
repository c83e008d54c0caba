# SPDX-License-Identifier: Apache-2.0
"""What all readers of values share: tidy text, Thai digits, and spellings that differ in nothing that matters."""

from __future__ import annotations

import re
import unicodedata

__all__ = ["loose", "plain", "tidy"]

_INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u2060\ufeff]")
# Sara am is one character; some write it as nikhahit and sara aa, with a tone mark before, between or after.
_SARA_AM = re.compile("([\u0e48-\u0e4b]?)\u0e4d([\u0e48-\u0e4b]?)\u0e32")
# Thai digits, and what looks like a hyphen.
_PLAIN = str.maketrans("๐๑๒๓๔๕๖๗๘๙\u2010\u2011\u2012\u2013\u2014\u2212", "0123456789------")
_NOT_LOOSE = re.compile(r"[\s.ฯ\u0e4c]+")
# What a form has where nothing is filled in.
_NOTHING = re.compile(r"[\s.\-\u2010-\u2014\u2212_]*")


def tidy(value: str) -> str:
    """``value`` with single spaces, none at its ends, nothing invisible, and Thai vowels as one types them. Empty where
    it is only dashes and dots: a form says "nothing" by them."""
    if _NOTHING.fullmatch(value):
        return ""
    text = _INVISIBLE.sub("", unicodedata.normalize("NFC", value))
    text = _SARA_AM.sub("\\1\\2\u0e33", text).replace("\u0e40\u0e40", "\u0e41")
    text = " ".join(text.split())
    return "" if _NOTHING.fullmatch(text) else text


def plain(value: str) -> str:
    """``value`` tidied, with Thai digits as Arabic ones and every dash as a hyphen."""
    return tidy(value).translate(_PLAIN)


def loose(text: str) -> str:
    """What spellings of one name share: no spaces, dots, paiyannoi and thanthakhat, and to patak as do chada, which
    look alike. Latin letters are lower-case."""
    return _NOT_LOOSE.sub("", text).replace("ฏ", "ฎ").casefold()
