# SPDX-License-Identifier: Apache-2.0
"""The commands as a person gives them, with Airflow's connections, on a real S3."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from airflow_provider_aigen.cli.entry import main
from airflow_provider_aigen.pipeline.upkeep import erase as erasing
from tests.acceptance.conftest import Lake
from tests.scans import scan


class Terminal(io.StringIO):
    """A person who types this."""

    def isatty(self) -> bool:
        return True


class Interrupted(Terminal):
    """A person who presses Ctrl-C instead."""

    def readline(self, size: int | None = -1) -> str:
        raise KeyboardInterrupt


@pytest.fixture
def typed(capfd: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, Any, str]]:
    """``typed(*arguments)``: exit code, the JSON of the result if there is one, and standard error."""

    def run(*arguments: str) -> tuple[int, Any, str]:
        capfd.readouterr()
        try:
            main([*arguments, "-o", "json"])
            code = 0
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else 1
        printed = capfd.readouterr()
        return code, json.loads(printed.out) if printed.out else None, printed.err

    return run


def test_a_destination_is_looked_at_redriven_rebuilt_and_erased(
    execute, connections, lake: Lake, simulator, typed, monkeypatch
):
    monkeypatch.setattr(erasing, "WRITER_LIVES", timedelta(0))
    connections.aigen(simulator.url, price_per_call=1.5, currency="THB")
    lake.put("scans/in/bad-secret.jpg", scan({"color": "แดง"}, status=400, code="1001", times=1))
    lake.put("scans/in/good-secret.jpg", scan({"province": "เชียงใหม่"}))
    execute()
    books, dead = lake.uri("lake/books/"), lake.uri("lake/dead/")

    assert typed("status", books)[1]["dead_letters_by_code"] == {"1001": 1}
    code, seen, _ = typed("redrive", books, dead, "--preview")
    assert (code, seen["documents"], seen["cost"]) == (0, 1, 1.5)

    # Nobody there, a no, a yes.
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    code, result, errors = typed("redrive", books, dead)
    assert (code, result) == (1, None)
    assert "1.50 THB" in errors
    assert "--yes" in errors
    monkeypatch.setattr(sys, "stdin", Terminal("n\n"))
    code, result, errors = typed("redrive", books, dead)
    assert (code, result, errors.splitlines()[-1].partition("] ")[2]) == (1, None, "Nothing was changed.")
    assert simulator.stats()["calls"] == 2
    monkeypatch.setattr(sys, "stdin", Interrupted())
    code, result, errors = typed("redrive", books, dead)
    assert (code, result, errors.splitlines()[-1]) == (1, None, "Nothing was changed.")
    assert simulator.stats()["calls"] == 2
    monkeypatch.setattr(sys, "stdin", Terminal("y\n"))
    code, result, errors = typed("redrive", books, dead)
    assert (code, result["extracted"], simulator.stats()["calls"]) == (0, 1, 3)
    assert "Committed 1 document" in errors
    assert typed("letters", books, dead)[:2] == (0, [])
    assert typed("redrive", books, dead, "--yes")[:2] == (0, {**seen, "documents": 0, "error_codes": {}, "cost": 0.0})

    lake.delete("lake/books/fields/")
    code, result, _ = typed("rebuild", books, "--tables", "fields, documents", "--no-compact", "--yes")
    assert (code, result["commits"], result["documents"]) == (0, 2, 3)  # one of them was a dead letter first
    assert len(lake.keys("lake/books/fields/")) == 2

    monkeypatch.setattr(sys, "stdin", Terminal("\n"))
    uri = lake.uri("scans/in/bad-secret.jpg")
    assert typed("erase", books, dead, "--source-uri", uri)[0] == 1
    code, receipt, errors = typed("erase", books, dead, "--source-uri", uri, "--delete-source", "--yes")
    assert (code, receipt["documents"], receipt["sources"]) == (0, 1, 1)
    assert "secret" not in errors + json.dumps(receipt)
    code, cost, _ = typed("cost", books)
    assert (code, cost["total"][0]["paid"], cost["total"][0]["runs"]) == (0, 4.5, 2)
    assert simulator.stats()["calls"] == 3


def test_what_fails_is_one_sentence_and_exit_code_1(connections, lake: Lake, typed):
    books, dead = lake.uri("lake/books/"), lake.uri("lake/dead/")
    for arguments, sentence in (
        (("status", books), "DESTINATION: has no state"),
        (("redrive", books, dead, "--yes"), "DESTINATION: has no state"),
        (("rebuild", books, "--yes"), "DESTINATION: has no state"),
        (("erase", books, dead, "--document-id", "0" * 32, "--yes"), "DESTINATION: has no state"),
        (
            ("status", books, "--aws-conn-id", "not_there"),
            "--aws-conn-id: the AWS connection has no usable credentials",
        ),
        (("redrive", books, dead, "--aigen-conn-id", "not_there"), "The conn_id `not_there` isn't defined"),
    ):
        code, result, errors = typed(*arguments)
        assert (code, result) == (1, None), arguments
        assert errors.splitlines()[-1].startswith(sentence), arguments
        assert "goes on where" not in errors, "nothing has begun"
        # Airflow 2 logs with a traceback where it has looked for a connection in vain.
        assert "Traceback" not in errors or "not_there" in arguments
    assert lake.keys("lake/") == []


def test_wrong_arguments_of_what_changes_something_are_named(connections, lake: Lake, typed):
    books, dead = lake.uri("lake/books/"), lake.uri("lake/dead/")
    for arguments, named in (
        (("redrive", books, dead, "--max-documents", "many"), "--max-documents: "),
        (("redrive", books, books), "DE"),
        (("rebuild", books, "--tables", "cells"), "--tables: "),
        (("rebuild", books, "--record-schema", "{"), "--record-schema: "),
        (("rebuild", books, "--record-schema", '{"total": "decimal", "total": "date"}'), "--record-schema: "),
        (("rebuild", books, "--since", "soon"), "--since: "),
        (("erase", books, dead), "--source-uri: or --document-id must be given"),
        (("erase", books, dead, "--source-uri", "s3:///a.jpg"), "--source-uri: "),
        (("erase", books, dead, "--source-uri", "s3://scans"), "--source-uri: "),
        (("erase", books, dead, "--document-id", "1"), "--document-id: "),
    ):
        code, _, errors = typed(*arguments, "--yes")
        assert (code, errors.startswith(named)) == (2, True), (arguments, errors)
        assert len(errors.splitlines()) == 1
