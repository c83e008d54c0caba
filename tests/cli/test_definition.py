# SPDX-License-Identifier: Apache-2.0
"""The commands as Airflow finds them, and what it costs Airflow to know them."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys

import pytest

from airflow_provider_aigen.cli.definition import get_aigen_cli_commands
from airflow_provider_aigen.cli.entry import main, parser
from airflow_provider_aigen.get_provider_info import get_provider_info
from airflow_provider_aigen.operators.dead_letter import AigenDeadLetterRedriveOperator
from airflow_provider_aigen.operators.erase import AigenEraseOperator
from airflow_provider_aigen.operators.tables import AigenRebuildTablesOperator

# What Airflow may have imported for ``get_provider_info``.
KNOWN_AT_START = {"airflow_provider_aigen", "airflow_provider_aigen.core", "airflow_provider_aigen.core.defaults"}
COMMANDS = {"status", "letters", "cost", "redrive", "rebuild", "erase"}
# What the command line has no use for, and the arguments that have another name there.
NOT_OFFERED = {"max_in_flight", "retry_policy"}
RENAMED = {
    "error_codes": "error_code",
    "source_uris": "source_uri",
    "document_ids": "document_id",
    "compact": "no_compact",
}


def test_airflow_takes_the_commands_from_the_provider():
    from airflow.cli import cli_parser

    if not hasattr(getattr(cli_parser, "ProvidersManager", None), "cli_command_functions"):
        pytest.skip("Airflow before 3.2 takes none from a provider")
    given = cli_parser.get_parser().parse_args(["aigen", "status", "s3://lake/books/", "-o", "json"])
    assert (given.destination, given.output, given.aws_conn_id) == ("s3://lake/books/", "json", "aws_default")


def test_the_program_of_its_own_has_the_same_commands():
    (group,) = get_aigen_cli_commands()
    assert {command.name for command in group.subcommands} == COMMANDS
    for command in group.subcommands:
        needed = ["s3://lake/books/"] + ["s3://lake/dead/"] * (command.name in ("letters", "redrive", "erase"))
        given = parser().parse_args([command.name, *needed])
        assert given.func is command.func
        assert given.output == "table"


@pytest.mark.parametrize(
    ("name", "operator"),
    [
        ("redrive", AigenDeadLetterRedriveOperator),
        ("rebuild", AigenRebuildTablesOperator),
        ("erase", AigenEraseOperator),
    ],
)
def test_a_command_has_the_parameters_of_its_operator(name, operator):
    parameters = {*operator.template_fields, *operator.plain_fields} - NOT_OFFERED
    wanted = {RENAMED.get(one, one) for one in parameters}
    places = ["s3://lake/books/"] + ["s3://lake/dead/"] * (name != "rebuild")
    given = vars(parser().parse_args([name, *places]))
    assert wanted <= set(given)
    assert set(given) - wanted == {"func", "output", "run_id", "verbose", "yes"}
    defaults = {key: value.default for key, value in inspect.signature(operator.__init__).parameters.items()}
    for key in (wanted & set(defaults)) - {"destination", "dead_letter"}:
        assert given[key] is None or str(given[key]) == str(defaults[key]), key


def test_what_is_no_command_is_a_wrong_argument(capsys):
    for arguments in ([], ["statu"], ["status"], ["status", "s3://lake/books/", "-o", "xml"]):
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert ended.value.code == 2


def test_knowing_the_commands_imports_nothing_of_what_they_do(airflow_home):
    [path] = get_provider_info()["cli"]
    module, _, function = path.rpartition(".")
    program = (
        "import json, sys\n"
        "import airflow.cli.cli_config\n"
        "before = set(sys.modules)\n"
        f"from {module} import {function}\n"
        f"{function}()\n"
        "print(json.dumps(sorted(set(sys.modules) - before)))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    new = set(json.loads(done.stdout.splitlines()[-1]))
    assert new - KNOWN_AT_START == {"airflow_provider_aigen.cli", "airflow_provider_aigen.cli.definition"}
