# SPDX-License-Identifier: Apache-2.0
"""What a command prints. The result goes to standard output, everything else to standard error."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from functools import partial
from typing import Any

import yaml
from airflow.cli.simple_table import AirflowConsole

__all__ = ["as_lines", "say", "showing", "showing_facts"]

Row = Mapping[str, Any]


def showing(output: str, result: Any, *tables: tuple[str, Sequence[Row]]) -> Callable[[], None]:
    """What prints ``result`` as JSON or YAML, or the tables for a person, each under its title; ``""`` is no title."""
    return partial(_show, output, result, tables)


def showing_facts(output: str, facts: Row) -> Callable[[], None]:
    """What prints one thing: an object for a program, a line per fact for a person."""
    return showing(output, facts, ("", as_lines(facts)))


def as_lines(facts: Row) -> list[Row]:
    """A line per fact."""
    return [{"name": name, "value": value} for name, value in facts.items()]


def say(text: str) -> None:
    """Say a sentence to the person, on standard error."""
    print(text, file=sys.stderr, flush=True)  # noqa: T201 - it is what the command is for


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return value.isoformat() if isinstance(value, date) else value


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S}"
    if isinstance(value, Mapping):
        return ", ".join(f"{name}={_cell(one)}" for name, one in value.items())
    return str(value)


def _show(output: str, result: Any, tables: Sequence[tuple[str, Sequence[Row]]]) -> None:
    if output == "json":
        print(json.dumps(_plain(result), indent=2, ensure_ascii=False))  # noqa: T201 - it is what the command is for
    elif output == "yaml":
        print(yaml.safe_dump(_plain(result), sort_keys=False, allow_unicode=True), end="")  # noqa: T201
    else:
        # Names of runs are any text: they hold no markup. A table that is too wide is folded, never cut.
        console = AirflowConsole(markup=False, emoji=False, highlight=False)
        for title, rows in tables:
            if title:
                console.print(title)
            console.print_as([{name: _cell(value) for name, value in row.items()} for row in rows], output)
