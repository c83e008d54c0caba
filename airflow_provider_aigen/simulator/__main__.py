# SPDX-License-Identifier: Apache-2.0
"""`python -m airflow_provider_aigen.simulator`: the endpoint on a port of one's own, until Ctrl-C."""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import sys
from typing import Any

from airflow_provider_aigen.simulator.options import DEFAULT_KEY, FAULTS, Options
from airflow_provider_aigen.simulator.server import Simulator

DEFAULT_PORT = 8089


def _pair(text: str) -> tuple[float, float]:
    first, _, second = text.partition(":")
    return float(first), float(second)


def _whole_pair(text: str) -> tuple[int, int]:
    first, _, second = text.partition(":")
    return int(first), int(second)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    new = argparse.ArgumentParser(
        prog="python -m airflow_provider_aigen.simulator",
        description="An AIGEN OCR endpoint for tests. Answers with the truth that an image carries in its metadata.",
    )
    add = new.add_argument
    add("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    add("--port", type=int, default=DEFAULT_PORT, help="port, 0 for a free one (default: %(default)s)")
    add(
        "--key", action="append", dest="keys", metavar="KEY", help=f"key to let in, repeatable (default: {DEFAULT_KEY})"
    )
    add("--forbidden-key", action="append", dest="forbidden_keys", metavar="KEY", help="key that gets 403, repeatable")
    add(
        "--document",
        action="append",
        dest="documents",
        metavar="NAME/VERSION",
        help="document type to serve, repeatable",
    )
    add("--codes", choices=("v2", "later"), default="v2", help="family of error codes (default: %(default)s)")
    add("--latency-ms", type=float, default=0.0, help="time that an answer takes")
    add("--latency-jitter", type=float, default=0.0, metavar="SHARE", help="give or take this share of it, 0 to 1")
    add("--rate-limit", type=int, metavar="N", help="429 for more than N calls in any sliding second")
    add("--retry-after", default="1", help="header of that 429: seconds, a date, or none (default: %(default)s)")
    add("--credit", type=int, metavar="N", help="429 without Retry-After once N calls are billed")
    add(
        "--outage",
        action="append",
        type=_pair,
        dest="outage_seconds",
        metavar="START:SECONDS",
        help="down from START on",
    )
    add("--outage-calls", action="append", type=_whole_pair, metavar="FIRST:LAST", help="down for these calls, from 1")
    add("--outage-fault", choices=FAULTS, default="503", help="what a call then gets (default: %(default)s)")
    add("--error-share", type=float, default=0.0, metavar="SHARE", help="share of calls with a passing 5xx")
    add("--reset-share", type=float, default=0.0, metavar="SHARE", help="share of calls whose connection breaks")
    add("--malformed-share", type=float, default=0.0, metavar="SHARE", help="share of calls with a malformed answer")
    add("--seed", type=int, default=0, help="decides which calls (default: %(default)s)")
    add("--price-per-call", type=float, default=1.0, help="for the cost in /stats (default: %(default)s)")
    add("--quiet", action="store_true", help="no line per call")
    return new


def options_of(arguments: argparse.Namespace) -> Options:
    """The options that a command line asks for. ValueError names a wrong one."""
    given: dict[str, Any] = {
        name: value for name, value in vars(arguments).items() if value is not None and name != "quiet"
    }
    if given["retry_after"] == "none":
        given["retry_after"] = None
    given = {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}
    return Options(**given)


async def serve(options: Options) -> None:
    """Runs until SIGINT or SIGTERM."""
    done = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, done.set)
    simulator = Simulator(options)
    await simulator.start()
    try:
        print(f"AIGEN simulator at {simulator.url}; {simulator.url}/stats says what was called", flush=True)
        await done.wait()
    finally:
        await simulator.stop()


def main(arguments: list[str] | None = None) -> int:
    """Exit code 0 after Ctrl-C, 1 where it can't listen, 2 for a wrong option."""
    command = parser()
    parsed = command.parse_args(arguments)
    try:
        options = options_of(parsed)
    except ValueError as error:
        command.error(str(error))
    logging.basicConfig(level=logging.WARNING if parsed.quiet else logging.INFO, format="%(asctime)s %(message)s")
    try:
        asyncio.run(serve(options))
    except OSError as error:
        print(f"cannot listen on {options.host}:{options.port}: {error.strerror}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
