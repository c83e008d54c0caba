# SPDX-License-Identifier: Apache-2.0
"""Number plates in one spelling: ``1กข 2345``, ``70-1234``."""

from __future__ import annotations

import re

from airflow_provider_aigen.core.records.provinces import read_province
from airflow_provider_aigen.core.records.text import plain

__all__ = ["read_plate"]

# A syllable at most: a vowel that stands before, a consonant, and what stands over, under and behind it.
_LETTER = "(?:[เ-ไ]?[ก-ฮ][ัิ-ฺ็]?[่-๋]?[์ํ]?[ะาำๅๆ]?)"
_LABEL = re.compile(r"\A(?:หมาย)?(?:เลข)?ทะเบียน(?:รถ)?\s?:?\s?")
# Cars and motorcycles have one to three consonants; plates that are sold at auction a word, with its vowels.
_SERIES = re.compile(
    rf"(?P<digit>[1-9]?) ?(?P<letters>{_LETTER}(?:[ .]?{_LETTER})*)\.?[ -]{{0,3}}"
    r"(?P<number>[0-9]{1,4})(?P<rest>[^0-9]*)"
)
# Lorries and buses have a series of two digits.
_LORRY = re.compile(r"(?P<series>[1-9][0-9]) ?-? ?(?P<number>[0-9]{4})(?P<rest>[^0-9]*)")
_LONGEST = 12


def read_plate(value: str) -> str | None:
    """The plate that ``value`` names: series, a space and number, or for lorries and buses series, hyphen and number.
    A label before it and a province behind it are left out. None for anything else."""
    text = _LABEL.sub("", plain(value), count=1)
    if (found := _LORRY.fullmatch(text)) and _ends(found["rest"]):
        return f"{found['series']}-{found['number']}" if found["number"] != "0000" else None
    found = _SERIES.fullmatch(text)
    if found is None or not _ends(found["rest"]) or not found["number"].strip("0"):
        return None
    letters = re.sub("[ .]", "", found["letters"])
    if len(letters) > _LONGEST or read_province(letters) is not None:
        return None
    return f"{found['digit']}{letters} {found['number']}"


def _ends(rest: str) -> bool:
    """Whether nothing stands behind the number, or a province."""
    return not rest.strip() or read_province(rest) is not None
