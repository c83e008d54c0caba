# SPDX-License-Identifier: Apache-2.0
"""A typo in what Airflow reads of a provider passes silently, so it is checked against Airflow's own schemas."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path
from pkgutil import iter_modules
from typing import Any

import airflow
import jsonschema
import pytest
from airflow.providers.common.compat.sdk import BaseHook, BaseOperator

import airflow_provider_aigen
from airflow_provider_aigen.get_provider_info import get_provider_info
from airflow_provider_aigen.hooks.aigen import AigenHook

AIRFLOW = Path(airflow.__file__).parent


def _schema(name: str) -> Any:
    path = AIRFLOW / name
    if not path.exists():
        pytest.skip(f"this Airflow has no {name}")
    return json.loads(path.read_text(encoding="utf-8"))


def _skip_before_conn_fields(schema: dict[str, Any]) -> None:
    if "conn-fields" not in schema["properties"]["connection-types"]["items"]["properties"]:
        pytest.skip("Airflow before 3.2 takes the form from the hook")


@pytest.fixture(scope="module")
def connection_type() -> dict[str, Any]:
    (found,) = get_provider_info()["connection-types"]
    return found


def test_the_whole_fits_the_schema_of_provider_info():
    jsonschema.validate(get_provider_info(), _schema("provider_info.schema.json"))


def test_the_whole_fits_the_schema_of_provider_yaml():
    """It knows every section's name and fields, where the other one lets any pass. A release adds the rest."""
    schema = _schema("provider.yaml.schema.json")
    _skip_before_conn_fields(schema)
    released = {"state": "ready", "source-date-epoch": 0, "versions": [airflow_provider_aigen.__version__]}
    jsonschema.validate(get_provider_info() | released, schema)


def test_the_form_fits_the_schema_that_knows_its_fields(connection_type):
    """The schema of provider_info lets any form pass, that of provider.yaml knows what a form has."""
    schema = _schema("provider.yaml.schema.json")
    _skip_before_conn_fields(schema)
    items = schema["properties"]["connection-types"]["items"]
    unknown = {"hook-name"} - set(items["properties"])  # Airflow 3.2 asks the hook
    known = {name: value for name, value in connection_type.items() if name not in unknown}
    jsonschema.validate(known, items | {"additionalProperties": False})


def test_the_form_shows_base_url_and_key_whoever_asks(connection_type):
    asked_of_the_hook = AigenHook.get_ui_field_behaviour()
    jsonschema.validate(asked_of_the_hook, _schema("customized_form_field_behaviours.schema.json"))
    hidden = ["schema", "login", "port", "extra"]
    shown = {
        "relabeling": {"host": "Base URL", "password": "API key"},
        "placeholders": {"host": "https://apis.aigen.online"},
    }
    # Airflow 2's page needs an `extra`: tests/acceptance/ui/test_connection_form_airflow_2.py.
    hidden_by_the_hook = hidden[:-1] if airflow.__version__.startswith("2.") else hidden
    assert asked_of_the_hook == {"hidden_fields": hidden_by_the_hook, **shown}
    assert connection_type["ui-field-behaviour"] == {"hidden-fields": hidden, **shown}


def test_the_form_says_what_holds_where_a_field_is_empty(connection_type):
    described = {name: field["description"] for name, field in connection_type["conn-fields"].items()}
    assert described["requests_per_second"] == "Calls that may start in any second; 5 if empty."
    assert described["timeout_s"] == "Seconds that one call may take; 60 if empty."


def test_the_form_before_airflow_3_2_has_the_same_fields(connection_type):
    pytest.importorskip("flask_appbuilder")
    from wtforms import BooleanField, IntegerField, PasswordField, StringField

    widgets = AigenHook.get_connection_form_widgets()
    assert list(widgets) == list(connection_type["conn-fields"])
    # Airflow leaves out a whole hook that has a field of another class.
    assert {widget.field_class for widget in widgets.values()} <= {
        BooleanField,
        IntegerField,
        PasswordField,
        StringField,
    }


def test_its_labels_and_help_texts_are_the_same(connection_type):
    pytest.importorskip("flask_appbuilder")
    widgets = AigenHook.get_connection_form_widgets()
    shown = {name: (str(widget.args[0]), widget.kwargs["description"]) for name, widget in widgets.items()}
    assert shown == {
        name: (field["label"], field["description"]) for name, field in connection_type["conn-fields"].items()
    }
    assert [name for name, widget in widgets.items() if widget.field_class.__name__ == "BooleanField"] == ["allow_http"]


def test_asking_for_it_imports_texts_and_nothing_else():
    """Airflow loads it at every start, in each of its processes."""
    program = (
        "import __future__, json, sys, typing\n"
        "before = set(sys.modules)\n"
        "from airflow_provider_aigen.get_provider_info import get_provider_info\n"
        "get_provider_info()\n"
        "print(json.dumps(sorted(set(sys.modules) - before)))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [
        "airflow_provider_aigen",
        "airflow_provider_aigen.connections",
        "airflow_provider_aigen.connections.form",
        "airflow_provider_aigen.core",
        "airflow_provider_aigen.core.defaults",
        "airflow_provider_aigen.get_provider_info",
    ]


@pytest.mark.parametrize(("kind", "base"), [("operators", BaseOperator), ("hooks", BaseHook)])
def test_it_names_every_module_that_has_one(kind, base):
    (entry,) = get_provider_info()[kind]
    package = importlib.import_module(f"airflow_provider_aigen.{kind}")
    modules = [importlib.import_module(f"{package.__name__}.{found.name}") for found in iter_modules(package.__path__)]
    with_one = [
        module.__name__
        for module in modules
        if any(
            isinstance(value, type) and issubclass(value, base) and value.__module__ == module.__name__
            for value in vars(module).values()
        )
    ]
    assert with_one, "the test looks at nothing"
    assert sorted(entry["python-modules"]) == sorted(with_one)


def test_every_class_that_it_names_is_there(connection_type):
    for path in get_provider_info()["extra-links"]:
        module, _, name = path.rpartition(".")
        assert hasattr(importlib.import_module(module), name)
    module, _, name = connection_type["hook-class-name"].rpartition(".")
    hook = getattr(importlib.import_module(module), name)
    assert (hook.conn_type, hook.hook_name) == (connection_type["connection-type"], connection_type["hook-name"])


@pytest.mark.filterwarnings("ignore:ProvidersManager.hooks is deprecated")  # where it went depends on the version
def test_airflow_finds_the_provider_by_its_entry_point():
    assert distribution("airflow-provider-aigen").entry_points.select(group="apache_airflow_provider")
    from airflow.providers_manager import ProvidersManager

    manager = ProvidersManager()
    assert manager.providers["airflow-provider-aigen"].data["name"] == "AIGEN OCR"
    hook = manager.hooks["aigen"]
    assert hook is not None, "its import failed"
    assert hook.hook_class_name == "airflow_provider_aigen.hooks.aigen.AigenHook"
    assert (hook.connection_id_attribute_name, hook.hook_name) == ("aigen_conn_id", "AIGEN OCR")
    assert hook.connection_testable


def test_airflow_shows_the_form(connection_type):
    from airflow.providers_manager import ProvidersManager

    manager = ProvidersManager()
    shown = {key: widget for key, widget in manager.connection_form_widgets.items() if key.startswith("extra__aigen__")}
    if not shown:
        pytest.importorskip("flask_appbuilder")
    assert [widget.field_name for widget in shown.values()] == list(connection_type["conn-fields"])
    behaviour = manager.field_behaviours["aigen"]
    assert {"login", "port", "schema"} <= set(behaviour["hidden_fields"])
    assert behaviour["relabeling"] == {"host": "Base URL", "password": "API key"}
