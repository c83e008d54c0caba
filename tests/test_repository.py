# SPDX-License-Identifier: Apache-2.0
"""What no linter holds: licence lines, a pure core, a lock that has what pyproject.toml asks for."""

from __future__ import annotations

import ast
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from scripts.versions import NEWEST, OLDER, OLDEST

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "airflow_provider_aigen"
FOLDERS = ("airflow_provider_aigen", "benchmarks", "dags", "demo", "scripts", "tests")
SOURCES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
# What the standard library has of I/O, clocks and randomness, concurrency included: none of it in the core (design §2).
IMPURE = {
    "asyncio", "concurrent", "ctypes", "glob", "http.client", "http.server", "logging",
    "multiprocessing", "os", "pathlib", "random", "secrets", "select", "selectors", "shutil",
    "signal", "socket", "sqlite3", "ssl", "subprocess", "sys", "tempfile", "threading", "time",
    "urllib.request", "uuid",
}  # fmt: skip


def _imported(path: Path) -> set[str]:
    """The absolute names of everything that a file imports, anywhere in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def _impure(name: str) -> bool:
    return any(name == impure or name.startswith(f"{impure}.") for impure in IMPURE)


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


def test_every_python_file_names_its_licence():
    assert [path for path in SOURCES if _lines(path)[:1] != ["# SPDX-License-Identifier: Apache-2.0"]] == []


@pytest.mark.parametrize("path", sorted((PACKAGE / "core").rglob("*.py")), ids=lambda path: path.name)
def test_core_imports_only_what_is_pure(path):
    for name in _imported(path):
        own = name.startswith("airflow_provider_aigen.core")
        allowed = {*sys.stdlib_module_names, "msgspec"}  # a parser, and pure (docs/decisions/0018-msgspec.md)
        assert own or (name.partition(".")[0] in allowed and not _impure(name)), name


@pytest.mark.parametrize("path", sorted((PACKAGE / "core").rglob("*.py")), ids=lambda path: path.name)
def test_core_reads_no_clock(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    attributes = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    assert attributes.isdisjoint({"now", "utcnow", "today"})


LOCKS = sorted(f"constraints/{path.name}" for path in (ROOT / "constraints").glob("*.txt"))


def _locked(lock: str) -> dict[str, str]:
    pins = (line.split(" ")[0].split("==") for line in _lines(ROOT / lock) if line[:1].isalnum())
    return {canonicalize_name(name): version for name, version in pins}


def _asked(*extras: str) -> list[Requirement]:
    """What pyproject.toml asks for, with these extras."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    texts = [*project["dependencies"], *(text for extra in extras for text in project["optional-dependencies"][extra])]
    return [asked for asked in map(Requirement, texts) if asked.name != project["name"]]


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_satisfies_every_requirement(lock):
    locked = _locked(lock)
    for asked in _asked("redis", "simulator", "test", *(("dev", "docs") if lock == NEWEST.lock else ())):
        version = locked.get(canonicalize_name(asked.name))
        assert version is not None, f"{asked.name} is not in {lock}: run make lock"
        assert asked.specifier.contains(version), f"{asked} against {version} in {lock}: run make lock"


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_has_hashes_and_no_address(lock):
    text = (ROOT / lock).read_text(encoding="utf-8")
    assert "://" not in text
    blocks = [block for block in text.replace("\\\n", "").splitlines() if block[:1].isalnum()]
    assert len(blocks) > 100
    assert [block for block in blocks if "--hash=sha256:" not in block] == []


def test_every_lower_bound_is_tried_as_it_stands():
    """Otherwise it says nothing: the oldest that is promised is the oldest that is tested (`make tests-oldest`)."""
    locked = _locked("constraints/oldest.txt")
    for asked in _asked("redis", "simulator"):
        [bound] = [Version(part.version) for part in asked.specifier if part.operator == ">="]
        assert Version(locked[canonicalize_name(asked.name)]) == bound, f"{asked}: run make lock"


def test_each_airflow_of_the_matrix_has_a_lock_of_its_own():
    for airflow in (*OLDER, NEWEST):
        assert _locked(airflow.lock)["apache-airflow"].startswith(f"{airflow.name}."), airflow.name
    assert {OLDEST.lock, NEWEST.lock, *(airflow.lock for airflow in OLDER)} == set(LOCKS)


def test_the_provider_is_an_entry_point():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    target = project["entry-points"]["apache_airflow_provider"]["provider_info"]
    module, _, function = target.partition(":")
    assert (ROOT / Path(*module.split("."))).with_suffix(".py").exists()
    assert function == "get_provider_info"
