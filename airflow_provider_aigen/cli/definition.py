# SPDX-License-Identifier: Apache-2.0
"""The commands and their arguments. Airflow loads this module at each start of ``airflow``, so it imports nothing of
what a command does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.cli.cli_config import ActionCommand, Arg, GroupCommand, lazy_load_command

from airflow_provider_aigen.core.defaults import DEFAULT_DOCUMENT_TYPE, DEFAULT_RETRY_PASSING_AFTER_S, TABLES

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["get_aigen_cli_commands"]


def _arg(*flags: str, **others: Any) -> Arg:
    return Arg(flags, **others)  # type: ignore[no-untyped-call]


def _option(name: str, help_text: str, **others: Any) -> Arg:
    return _arg(f"--{name}", help=help_text, **others)


def _switch(*flags: str, help_text: str) -> Arg:
    return _arg(*flags, help=help_text, action="store_true")


_DESTINATION = _arg("destination", metavar="DESTINATION", help="S3 prefix of the tables: s3://lake/books/")
_DEAD_LETTER = _arg("dead_letter", metavar="DEAD_LETTER", help="S3 prefix of the dead letters: s3://lake/dead/")
_OUTPUT = _arg(
    "-o",
    "--output",
    help="table, json, yaml or plain (default: table)",
    metavar="(table, json, yaml, plain)",
    choices=("table", "json", "yaml", "plain"),
    default="table",
)
_VERBOSE = _switch("-v", "--verbose", help_text="show what the command does, on standard error")
_YES = _switch("-y", "--yes", help_text="do not ask before the command changes something")
_STORAGE = (
    _option("aws-conn-id", "the AWS connection, for S3 (default: aws_default)", default="aws_default"),
    _option("state", "S3 prefix of plans, answers and commits (default: <DESTINATION>/_aigen)"),
    _option("expected-bucket-owner", "AWS account id that must own every bucket"),
)
_WRITING = (
    *_STORAGE,
    _option("sse-kms-key-id", "KMS key for all that is written; AES256 for SSE-S3"),
    _option(
        "run-id",
        "the name of the run (default: a new one); with that of a command that was stopped, it goes on from there",
    ),
)
_SHOWING = (_OUTPUT, _VERBOSE)
_ASKING = (_YES, _OUTPUT, _VERBOSE)
_ERROR_CODE = _option(
    "error-code",
    "only letters with this code, as the dead-letter prefix names it; may be given several times",
    action="append",
    metavar="CODE",
)
_OLDER_THAN = _option("older-than", "only letters that are older: seconds, or such as 90m, 12h, 7d", metavar="TIME")
_RETRY_PASSING_AFTER = _option(
    "retry-passing-after",
    "the DAG's retry_passing_after, by which letters are due: seconds, or such as 30m (default: 15m)",
    metavar="TIME",
    default=DEFAULT_RETRY_PASSING_AFTER_S,
)
_MIN_CONFIDENCE = _option("min-confidence", "fields under it, 0 to 1, are flagged needs_review from now on")

_COMMANDS = (
    ActionCommand(
        name="status",
        help="How a destination stands: its runs, commits and dead letters, and what is due",
        description="How a destination stands. Nothing is written.",
        func=lazy_load_command("airflow_provider_aigen.cli.reading.status"),
        args=(
            _DESTINATION,
            _option("runs", "how many of the last runs are shown (default: 10)", default="10"),
            _RETRY_PASSING_AFTER,
            *_STORAGE,
            *_SHOWING,
        ),
    ),
    ActionCommand(
        name="letters",
        help="Dead letters by code: how many, how many of them are tried again, and when",
        description="The dead letters by code. Each record is read, so many letters take a while. Nothing is written.",
        func=lazy_load_command("airflow_provider_aigen.cli.reading.letters"),
        args=(
            _DESTINATION,
            _DEAD_LETTER,
            _ERROR_CODE,
            _OLDER_THAN,
            _switch("--documents", help_text="a row per dead letter, with its document_id, not per code"),
            _RETRY_PASSING_AFTER,
            *_STORAGE,
            *_SHOWING,
        ),
    ),
    ActionCommand(
        name="cost",
        help="What the runs of a destination spent: calls and money per day, month or run",
        description="What the runs of a destination spent, by the price that each run had. Nothing is written.",
        func=lazy_load_command("airflow_provider_aigen.cli.reading.cost"),
        args=(
            _DESTINATION,
            _option("by", "day, month or run (default: day)", choices=("day", "month", "run"), default="day"),
            _option("since", "only runs that were planned on this UTC day or later: 2026-11-01", metavar="DAY"),
            _option("price-per-call", "the price for runs whose connection had none"),
            _option("currency", "the currency of --price-per-call", default=""),
            *_STORAGE,
            *_SHOWING,
        ),
    ),
    ActionCommand(
        name="redrive",
        help="Try dead letters again: each of them is a call, and paid",
        description=(
            "Try dead letters again. The command shows first how many there are and what they would cost, and asks.\n"
            "Each of them is a call, and paid."
        ),
        func=lazy_load_command("airflow_provider_aigen.cli.changing.redrive"),
        args=(
            _DESTINATION,
            _DEAD_LETTER,
            _switch("--preview", help_text="only show what it would try again, and call nothing"),
            _ERROR_CODE,
            _OLDER_THAN,
            _option("max-documents", "at most so many of them, the oldest first"),
            _option("max-spend", "the most that the run may spend, in the connection's currency"),
            _option(
                "document-type",
                f"<document>/<version> of the letters (default: {DEFAULT_DOCUMENT_TYPE})",
                default=DEFAULT_DOCUMENT_TYPE,
            ),
            _option("aigen-conn-id", "the AIGEN connection (default: aigen_default)", default="aigen_default"),
            _option("requests-per-second", "how many calls may start in any second (default: the connection's)"),
            _option("limit-shared-by", "how many tasks share that limit at once (default: 1)", default="1"),
            _option("redis-conn-id", "the Redis connection through which all share the limit"),
            *_WRITING,
            *_ASKING,
        ),
    ),
    ActionCommand(
        name="rebuild",
        help="Write the tables again from what is kept, without a call",
        description="Write the tables again from commits and kept answers, without a call. The command asks first.",
        func=lazy_load_command("airflow_provider_aigen.cli.changing.rebuild"),
        args=(
            _DESTINATION,
            _option("since", "only what was committed then or later: 2026-11-01, in UTC", metavar="TIME"),
            _option("tables", f"which tables, with commas between them (default: {','.join(TABLES)})"),
            _MIN_CONFIDENCE,
            _option("record-schema", 'fields and types of records as JSON: {"total": "decimal"}', metavar="JSON"),
            _switch(
                "--no-compact", help_text="leave small parts as they are; otherwise those of a partition become one"
            ),
            *_WRITING,
            *_ASKING,
        ),
    ),
    ActionCommand(
        name="erase",
        help="Erase documents for good: rows, answers, dead letters, in every version",
        description=(
            "Erase documents for good: their rows, answers, dead letters and images, in every version of the objects.\n"
            "The command asks first, and prints a receipt."
        ),
        func=lazy_load_command("airflow_provider_aigen.cli.changing.erase"),
        args=(
            _DESTINATION,
            _DEAD_LETTER,
            _option(
                "document-id",
                "erase this document; may be given several times",
                action="append",
                metavar="ID",
            ),
            _option(
                "source-uri",
                "erase all that was read under this S3 URI, instead of --document-id; may be given several times",
                action="append",
                metavar="URI",
            ),
            _switch("--delete-source", help_text="delete the source objects too"),
            *_WRITING,
            *_ASKING,
        ),
    ),
)


def get_aigen_cli_commands() -> Sequence[GroupCommand]:
    """The group ``aigen``, as Airflow asks a provider for it."""
    return [
        GroupCommand(
            name="aigen",
            help="AIGEN OCR: look at a destination, and keep it up",
            description="Look at the tables of AIGEN OCR at a destination, and keep them up.",
            subcommands=_COMMANDS,
        )
    ]
