# SPDX-License-Identifier: Apache-2.0
"""What the demo prints: compact, readable, no colour where it isn't a terminal."""

from __future__ import annotations

import json
import re
import sys
import textwrap
from typing import Any

import duckdb

from demo.lake import DEAD_LETTER, DESTINATION, SOURCE, Lake
from demo.stack import HOME
from tests.kit.servers.process import shown
from tests.kit.servers.s3 import S3Server

__all__ = ["BOOKS", "code", "dead_letters", "error", "heading", "line", "outcomes", "places", "query", "report", "text"]

_WIDTH = 108

_WHY = {
    "1001": "a side is under 500 px: found in the header, no call made",
    "1002": "a side is over 10,000 px: found in the header, no call made",
    "1003": "the bytes are no image",
    "20000": "over 10 MB: found before the call",
    "20002": "an image that cannot be read",
    "400": "no registration book on it",
    "can_not_find_vehicle_registration_on_image": "no registration book on it",
    "empty_object": "zero bytes: no call made",
    "internal_server_error": "a page broke the service",
    "unsupported_media_type": "neither image nor PDF: no call made",
}

BOOKS = """\
SELECT parse_filename(source_uri) AS file, registration_number_car AS plate, province,
       registration_date AS registered, brand_car AS brand, weight_car::int AS kg,
       left_grapheme(ownership, 5) || '***' AS owner, round(min_confidence, 2) AS lowest, needs_review AS review
FROM records
WHERE document_id IN (SELECT arg_max(document_id, (source_last_modified, "commit"))
                      FROM documents WHERE outcome <> 'gone' GROUP BY source_uri)
ORDER BY source_uri, page_number
LIMIT 10"""


def _style(codes: str, words: str) -> str:
    return f"\x1b[{codes}m{words}\x1b[0m" if sys.stdout.isatty() else words


def heading(words: str) -> None:
    """What comes next."""
    print(f"\n{_style('1', words)}", flush=True)


def text(words: str) -> None:
    """A paragraph, wrapped."""
    print(textwrap.fill(words, _WIDTH, initial_indent="  ", subsequent_indent="  "), flush=True)


def line(label: str, words: str) -> None:
    """A fact and its name."""
    print(f"  {label:<14} {words}", flush=True)


def code(words: str) -> None:
    """Something as it is written: a command, a query, a record."""
    print(_style("36", textwrap.indent(words, "    ")), flush=True)


def error(words: str) -> None:
    """Why it ended, on stderr."""
    print(f"\n{_style('1;31', 'The demo failed:')} {words}", file=sys.stderr, flush=True)


def report(run: dict[str, Any], served: int, took_s: float) -> None:
    """One run's report beside what the endpoint itself counted meanwhile."""
    before = f"{run['already_done']} taken by earlier runs"
    planned = f"{run['documents']} planned, {_accounted(run)}" if run["documents"] else "none is new"
    line("documents", f"{planned}; {before}")
    line("calls", f"{run['api_calls']} made (the endpoint counted {served})")
    if run["answers_reused"]:
        line("reused", f"{_count(run['answers_reused'], 'answer')} (same bytes under another name are paid once)")
    if run["documents"]:
        line("committed", f"{_count(run['rows'], 'row')} in {_count(run['commits'], 'commit')}")
    line("took", f"{took_s:.1f} s, most of it Airflow's own start")


def _accounted(run: dict[str, Any]) -> str:
    ends = sum(run[outcome] for outcome in ("extracted", "partial", "dead_letter", "gone"))
    return f"{ends} accounted for"


def outcomes(tables: duckdb.DuckDBPyConnection, manifest: list[dict[str, Any]]) -> None:
    """Documents by outcome, over all runs, and how many are what was drawn: ``manifest`` is the generator's."""
    meaning = {
        "extracted": "every page read",
        "partial": "some pages read: rows for those, a dead letter that names the others",
        "dead_letter": "nothing to read: a record says why, the image lies beside it",
        "gone": "deleted or replaced before it was read",
    }
    found = dict(tables.execute("SELECT outcome, count(*) FROM documents GROUP BY ALL").fetchall())
    for outcome, words in meaning.items():
        line(outcome.replace("_", " "), f"{found.get(outcome, 0):>4}   {words}")
    (rows,) = tables.execute("SELECT count(*) FROM fields").fetchall()[0]
    line(
        "rows",
        f"{rows:>4}   in the table `fields`, one per field and page; `records` has them typed, in one row per page",
    )
    became = dict(tables.execute("SELECT parse_filename(source_uri), outcome FROM documents").fetchall())
    meant = {entry["name"].rpartition("/")[2]: entry["expected"]["outcome"] for entry in manifest}
    right = sum(became.get(name) == outcome for name, outcome in meant.items())
    line("as drawn", f"{right:>4}   of {len(meant)} have the outcome that the generator meant")


def dead_letters(tables: duckdb.DuckDBPyConnection, lake: Lake) -> None:
    """How many by code, and one record whole."""
    counted = tables.execute(
        "SELECT error_code, count(*) FROM documents WHERE dead_letter_uri IS NOT NULL GROUP BY ALL ORDER BY ALL"
    ).fetchall()
    for error_code, count in counted:
        print(f"  {count:>4}  {error_code:<44} {_WHY.get(error_code, '')}".rstrip())
    letters = tables.execute(
        "SELECT dead_letter_uri FROM documents WHERE outcome = 'dead_letter' "
        "ORDER BY http_status DESC NULLS LAST, error_code DESC, dead_letter_uri LIMIT 1"
    ).fetchall()
    if not letters:
        return
    uri = letters[0][0]
    print(f"\n  One of them, {uri}:\n")
    record = json.loads(lake.read(*uri.removeprefix("s3://").split("/", 1)))
    code(re.sub(r"\[\s+([^\[\]]*?)\s+\]", _on_one_line, json.dumps(_told(record), indent=2, ensure_ascii=False)))


def _told(record: dict[str, Any]) -> dict[str, Any]:
    """The record without what it has nothing to say of."""
    return {name: value for name, value in record.items() if value not in (None, [])}


def _on_one_line(found: re.Match[str]) -> str:
    return "[" + " ".join(found[1].split()) + "]"


def query(tables: duckdb.DuckDBPyConnection, words: str) -> None:
    """A query and its rows."""
    code(words)
    print()
    print(textwrap.indent(str(tables.sql(words)).rstrip(), "  "), flush=True)


def places(s3: S3Server, *, running: bool) -> None:
    """Where everything lies."""
    destination = f"s3://{'/'.join(DESTINATION)}"
    line("images", f"s3://{'/'.join(SOURCE)}   (drawn into {shown(HOME / 'books' / 'images')}/)")
    line("fields", f"{destination}fields/dt=…/*.parquet")
    line("records", f"{destination}records/dt=…/*.parquet")
    line("documents", f"{destination}documents/dt=…/*.parquet")
    line("dead letters", f"s3://{'/'.join(DEAD_LETTER)}error_code=…/")
    line("state", f"{destination}_aigen/   (plans, answers, commits, reports)")
    if running:
        line("S3", f"{s3.endpoint_url}   access key {s3.access_key}, secret key {s3.secret_key}")
    else:
        line("S3", f"stopped now; its data stays in {shown(HOME / 's3')}/, and `make up` serves it")
        line(
            "tables here", f"{shown(HOME / 'lake')}/   (downloaded for the query: DuckDB's S3 extension isn't bundled)"
        )
    line("logs", f"{shown(HOME / 'logs')}/")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
