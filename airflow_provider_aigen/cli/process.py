# SPDX-License-Identifier: Apache-2.0
"""A command as a process: its parameters, its log, its signals, its exit code."""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar

from airflow.providers.common.compat.sdk import AirflowException

from airflow_provider_aigen.cli.output import say
from airflow_provider_aigen.core.errors import AigenError, ConfigurationError, StoppedError
from airflow_provider_aigen.pipeline import Stop
from airflow_provider_aigen.runtime.loop import LoopRunner
from airflow_provider_aigen.runtime.parameters import check_parameters
from airflow_provider_aigen.runtime.results import problem_text

if TYPE_CHECKING:
    from argparse import Namespace

__all__ = ["Refused", "WrongArgument", "ask", "checked", "command", "in_loop", "seconds", "storage"]

T = TypeVar("T")

_FAILED, _WRONG = 1, 2
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


class Refused(Exception):
    """The command does nothing. The message says why."""


class WrongArgument(Exception):
    """An argument is wrong. The message names it."""


def command(work: Callable[[Namespace], Callable[[], None]]) -> Callable[[Namespace], None]:
    """A command. ``work`` returns what prints its result, and only that has standard output: the log goes to standard
    error, and an error becomes one sentence there and an exit code."""

    @wraps(work)
    def run(args: Namespace) -> None:
        # As Airflow's own commands do that look a connection up: otherwise Airflow 3 does not look into its database.
        os.environ["_AIRFLOW_PROCESS_CONTEXT"] = "server"
        try:
            # One that changes something may take long: it says how it goes on.
            with _result_only(verbose=args.verbose, talks=args.verbose or hasattr(args, "yes")):
                show = work(args)
            show()
        except WrongArgument as error:
            _end(str(error), _WRONG)
        except Refused as error:
            _end(str(error), _FAILED)
        except ConfigurationError as error:
            _end(_as_typed(error) if hasattr(args, _attribute(error.parameter)) else str(error), _FAILED)
        except AigenError as error:
            _end(problem_text(error, getattr(args, "aigen_conn_id", None)), _FAILED)
        except AirflowException as error:  # a connection that is not there
            _end(str(error), _FAILED)
        except BrokenPipeError:  # `| head` has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(_FAILED)

    return run


def checked(check: Callable[[], Mapping[str, Any]]) -> dict[str, Any]:
    """The parameters, as ``check`` returns them. Raises ``WrongArgument`` naming the argument that is wrong."""
    try:
        return dict(check())
    except ConfigurationError as error:
        raise WrongArgument(_as_typed(error)) from None


def storage(args: Namespace, **others: Any) -> dict[str, Any]:
    """The checked parameters of a command that only reads, and ``others``."""
    names = ("destination", "aws_conn_id", "state", "expected_bucket_owner")
    given = {name: getattr(args, name) for name in names}
    return checked(lambda: check_parameters({**given, "sse_kms_key_id": None, **others}))


def seconds(name: str, text: str | float | None) -> float | None:
    """A time as seconds: ``90``, ``90s``, ``30m``, ``12h``, ``7d``. Raises ``WrongArgument``."""
    if text is None or isinstance(text, float):
        return text
    number, unit = (text[:-1], _UNITS[text[-1]]) if text[-1:] in _UNITS else (text, 1)
    try:
        return float(number) * unit
    except ValueError:
        raise WrongArgument(f"{_flag(name)}: must be a number of seconds, or such as 90m, 12h, 7d") from None


def ask(question: str, *, yes: bool) -> None:
    """Ask, unless ``yes``. Raises ``Refused`` where the answer is not yes, or nobody can answer."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise Refused(
            f"{question} Nobody can answer here, so nothing was changed: add --yes to go on without a question."
        )
    sys.stderr.write(f"{question} Go on? [y/N] ")
    sys.stderr.flush()
    try:
        answer = sys.stdin.readline()
    except KeyboardInterrupt:
        sys.stderr.write("\n")
        answer = ""
    if answer.strip().lower() not in ("y", "yes"):
        raise Refused("Nothing was changed.")


def in_loop(main: Callable[[Stop], Coroutine[Any, Any, T]]) -> T:
    """Run ``main(stop)`` in an event loop. SIGTERM and Ctrl-C stop it in order; a second one ends the process."""
    runner = LoopRunner()

    def stop(number: int, _: object) -> None:
        signal.signal(number, signal.SIG_DFL)
        say("Stopping: no new call begins, and what is answered is kept.")
        runner.stop()

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        return runner.run(main, Stop())
    except StoppedError:
        raise Refused("The command was stopped; what was answered is kept.") from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


# Positional arguments have no dashes.
_ARGUMENTS = {"destination": "DESTINATION", "dead_letter": "DEAD_LETTER"}
_FLAGS = {"error_codes": "--error-code", "source_uris": "--source-uri", "document_ids": "--document-id"}


def _as_typed(error: ConfigurationError) -> str:
    """The error's sentence with the argument as a person types it, in place of the operator's parameter."""
    problem = str(error).removeprefix(f"{error.parameter}: ")
    for name, flag in _FLAGS.items():
        problem = problem.replace(name, flag)
    return f"{_ARGUMENTS.get(error.parameter, _flag(error.parameter))}: {problem}"


def _attribute(parameter: str) -> str:
    """What argparse calls the parameter's argument."""
    return _flag(parameter).removeprefix("--").replace("-", "_")


def _flag(name: str) -> str:
    return _FLAGS.get(name, f"--{name.replace('_', '-')}")


def _end(text: str, code: int) -> None:
    say(text)
    sys.exit(code)


@contextmanager
def _result_only(*, verbose: bool, talks: bool) -> Iterator[None]:
    """Standard output is for the result. Airflow writes its own log there: with ``verbose`` it goes to standard error,
    else nowhere. The provider's log goes to standard error, from INFO on if the command ``talks``."""
    root, own = logging.getLogger(), logging.getLogger("airflow_provider_aigen")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    before = root.handlers, root.level, own.handlers, own.level, own.propagate
    root.handlers, own.handlers, own.propagate = [handler], [], True
    root.setLevel(logging.INFO if verbose else logging.WARNING)
    own.setLevel(logging.INFO if talks else logging.WARNING)
    try:
        with _elsewhere(sys.stderr.fileno() if verbose else None):
            yield
    finally:
        root.handlers, level, own.handlers, own_level, own.propagate = before
        root.setLevel(level)
        own.setLevel(own_level)


@contextmanager
def _elsewhere(descriptor: int | None) -> Iterator[None]:
    """Whatever this process writes to standard output goes to ``descriptor``, or nowhere. Airflow's loggers keep the
    file that they began with, so the file's descriptor is what is turned."""
    target = os.open(os.devnull, os.O_WRONLY) if descriptor is None else os.dup(descriptor)
    sys.stdout.flush()
    turned = sys.stdout.fileno()
    kept = os.dup(turned)
    os.dup2(target, turned)
    try:
        yield
    finally:
        sys.stdout.flush()
        os.dup2(kept, turned)
        os.close(kept)
        os.close(target)
