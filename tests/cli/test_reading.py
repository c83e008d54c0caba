# SPDX-License-Identifier: Apache-2.0
"""``status``, ``letters`` and ``cost`` on a destination in memory: what they print, and that they write nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import yaml

from airflow_provider_aigen.cli import reading
from airflow_provider_aigen.cli.entry import main
from airflow_provider_aigen.core.spend import Price
from tests.kit.ocr import refusal
from tests.kit.world import SETTINGS, World

LAKE, DEAD = SETTINGS.destination, SETTINGS.dead_letter
PASSING = refusal(503, "service_error")


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    """Three documents: one is read, one is refused, one fails in a way that may pass."""
    world = World()
    names = ("bad-secret.png", "good-secret.png", "late-secret.png")
    images = dict(zip(names, world.scan(*names), strict=True))
    world.ocr.answers[images["bad-secret.png"]] = [refusal(400, "1001")]
    world.ocr.answers[images["late-secret.png"]] = [PASSING] * 9
    world.go(world.run(price=Price(1.5, "THB")))

    @asynccontextmanager
    async def open_ports(settings: Any) -> Any:
        yield world.ports()

    monkeypatch.setattr(reading, "open_ports", open_ports)
    monkeypatch.setattr(reading, "port_settings", lambda given: None)
    return world


@pytest.fixture
def shown(world: World, capfd: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """What a command prints; it writes nothing to the destination, and names nobody."""

    def run(*arguments: str) -> str:
        before = world.store.contents()
        capfd.readouterr()
        main([*arguments])
        printed = capfd.readouterr()
        assert world.store.contents() == before
        assert "secret" not in printed.out + printed.err
        assert printed.err == ""
        return printed.out

    return run


@pytest.fixture
def said(shown: Callable[..., str]) -> Callable[..., Any]:
    return lambda *arguments: json.loads(shown(*arguments, "-o", "json"))


def test_status_says_what_there_is_and_what_is_due(world, said):
    status = said("status", LAKE)
    assert status["commits"] == 2  # the second one is that of the document that fails
    assert (status["dead_letters"], status["passing"], status["final"]) == (2, 1, 1)
    assert (status["commits_not_applied"], status["due_now"]) == (0, 0)
    assert status["dead_letters_by_code"] == {"1001": 1, "service_error": 1}
    [run] = status["runs"]
    assert (run["run_id"], run["state"], run["planned"], run["documents"]) == ("one", "ended", 3, 3)
    assert (run["extracted"], run["dead_letter"], run["passing"]) == (1, 2, 1)
    assert run["paid"] == run["paid_calls"] * 1.5

    assert said("status", LAKE, "--retry-passing-after", "1s", "--runs", "0")["runs"] == []
    world.go(world.clock.sleep(2))
    assert said("status", LAKE, "--retry-passing-after", "1s")["due_now"] == 1


def test_letters_are_shown_by_code_or_one_by_one(said):
    by_code = {row["error_code"]: row for row in said("letters", LAKE, DEAD)}
    assert {code: (row["letters"], row["passing"], row["final"]) for code, row in by_code.items()} == {
        "1001": (1, 0, 1),
        "service_error": (1, 1, 0),
    }
    assert by_code["1001"]["next_due_at"] is None
    [letter] = said("letters", LAKE, DEAD, "--error-code", "service_error", "--documents")
    assert len(letter["document_id"]) == 32
    assert letter["due_at"] > letter["since"]
    assert said("letters", LAKE, DEAD, "--older-than", "1h") == []


def test_cost_has_each_period_and_the_total(said):
    cost = said("cost", LAKE, "--by", "run")
    [row], [total] = cost["rows"], cost["total"]
    assert row["period"] == "books.ocr one"
    assert (total["period"], total["currency"], total["paid"]) == ("total", "THB", total["paid_calls"] * 1.5)
    assert total["paid_calls"] >= 1
    assert said("cost", LAKE, "--since", "2031-01-01") == {"by": "day", "rows": [], "total": []}


def test_a_run_that_no_row_tells_of_yet_is_counted(world, said):
    before = said("cost", LAKE)["total"][0]["calls"]
    for uri in world.store.keys("s3://lake/books/"):
        if "/runs/" in uri or uri.endswith(".row"):
            world.store.remove(uri)
    assert said("cost", LAKE)["total"][0]["calls"] == before
    [run] = said("status", LAKE)["runs"]
    assert (run["documents"], run["planned"], run["state"]) == (3, 3, "ended")


@pytest.mark.parametrize("arguments", [("status", LAKE), ("letters", LAKE, DEAD), ("cost", LAKE)])
@pytest.mark.parametrize("output", ["table", "plain", "yaml"])
def test_each_output_says_the_same(shown, arguments, output):
    text = shown(*arguments, "--output", output)
    assert "None" not in text
    if output == "yaml":
        assert yaml.safe_load(text)
    else:
        assert {"status": "commits_not_applied", "letters": "service_error", "cost": "total"}[arguments[0]] in text


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("status", "lake"), "DESTINATION: "),
        (("status", LAKE, "--runs", "-1"), "--runs: "),
        (("status", LAKE, "--retry-passing-after", "soon"), "--retry-passing-after: "),
        (("status", LAKE, "--retry-passing-after", "nan"), "--retry-passing-after: "),
        (("status", LAKE, "--expected-bucket-owner", "me"), "--expected-bucket-owner: "),
        (("letters", LAKE, "lake"), "DEAD_LETTER: "),
        (("letters", LAKE, DEAD, "--older-than", "0h"), "--older-than: "),
        (("cost", LAKE, "--since", "yesterday"), "--since: "),
        (("cost", LAKE, "--price-per-call", "-1"), "--price-per-call: "),
    ],
)
def test_a_wrong_argument_is_named_in_one_sentence(world, capfd, arguments, named):
    with pytest.raises(SystemExit) as ended:
        main([*arguments])
    assert ended.value.code == 2
    printed = capfd.readouterr()
    assert printed.out == ""
    assert printed.err.startswith(named)
    assert len(printed.err.splitlines()) == 1
