# SPDX-License-Identifier: Apache-2.0
"""docs/troubleshooting.md has every sentence that a task can fail with, and no other."""

from __future__ import annotations

import re

import pytest

from tests.docs.markdown import text
from tests.docs.sentences import FILLED_IN, literals, sentences

PAGE = text("docs/troubleshooting.md")
TEST_BUTTON, AIRFLOW = "What the Test button says", "What Airflow says"


def rows() -> dict[str, list[str]]:
    """Per section, the sentences in the first column of its tables."""
    sections = re.split(r"^## (.+)$", PAGE, flags=re.MULTILINE)[1:]
    return {
        heading: [
            sentence
            for cell in re.findall(r"^\| (`.*?`) \|", section, re.MULTILINE)
            for sentence in re.findall(r"`([^`]+)`", cell)
        ]
        for heading, section in zip(sections[::2], sections[1::2], strict=True)
    }


def begins(sentence: str, shown: str) -> bool:
    """``…`` in what is shown stands for anything, also for nothing."""
    parts = (re.escape(part) for part in shown.split(FILLED_IN))
    return re.match(".*".join(parts), sentence, re.DOTALL) is not None


SHOWN = [sentence for heading, found in rows().items() if heading not in (TEST_BUTTON, AIRFLOW) for sentence in found]
RAISED = sentences()


def test_there_are_sentences():
    assert len(RAISED) > 80
    assert len(SHOWN) == len(set(SHOWN)) > 70


@pytest.mark.parametrize("shown", SHOWN)
def test_what_the_page_shows_is_raised(shown):
    assert any(begins(sentence.text, shown) for sentence in RAISED)


@pytest.mark.parametrize("sentence", RAISED, ids=lambda sentence: f"{sentence.file}:{sentence.line}")
def test_what_is_raised_is_on_the_page(sentence):
    assert any(begins(sentence.text, shown) for shown in SHOWN), (
        f"add a row to docs/troubleshooting.md: {sentence.text}"
    )


def test_no_row_is_so_short_that_it_stands_for_everything():
    literal = {shown: len(re.sub(r"\W", "", shown)) for shown in SHOWN}
    assert [shown for shown, letters in literal.items() if letters < len("mustbea")] == []


def test_the_test_buttons_sentences_are_on_the_page():
    said = {sentence for sentence in literals("connections/check.py") if sentence[:1].isupper()}
    shown = rows()[TEST_BUTTON]
    assert len(said) >= 12
    assert [sentence for sentence in said if not any(begins(sentence, one) for one in shown)] == []
    assert [one for one in shown if not any(begins(sentence, one) for sentence in said)] == []
