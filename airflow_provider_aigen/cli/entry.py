# SPDX-License-Identifier: Apache-2.0
"""``airflow-aigen``: the commands as a program of their own, for any Airflow. Before Airflow 3.2 a provider cannot add
commands to ``airflow``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from airflow_provider_aigen import __version__
from airflow_provider_aigen.cli.definition import get_aigen_cli_commands

__all__ = ["main", "parser"]


def parser() -> argparse.ArgumentParser:
    """A parser of the commands that ``airflow aigen`` has, with the same arguments."""
    (group,) = get_aigen_cli_commands()
    made = argparse.ArgumentParser(prog="airflow-aigen", description=group.description)
    made.add_argument("--version", action="version", version=__version__)
    commands = made.add_subparsers(required=True, metavar="COMMAND")
    for command in group.subcommands:
        one = commands.add_parser(
            command.name,
            help=command.help,
            description=command.description,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        for argument in command.args:
            argument.add_to_parser(one)
        one.set_defaults(func=command.func)
    return made


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command. Raises ``SystemExit``: 1 where it failed or was refused, 2 for a wrong argument."""
    given = parser().parse_args(arguments)
    given.func(given)
