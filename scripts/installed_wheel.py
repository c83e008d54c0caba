# SPDX-License-Identifier: Apache-2.0
"""Imports every module of an installed wheel, and prints what came with it.

Run by scripts/package.py with the Python of an environment that has the wheel and nothing else. Arguments: the extras
that are there; modules that need another are left out.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys
from importlib.metadata import distribution, distributions
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import airflow_provider_aigen

NAME = "airflow-provider-aigen"
NEEDS_EXTRA = {
    "simulator": ("airflow_provider_aigen.simulator",),
    "redis": ("airflow_provider_aigen.adapters.limits.redis_",),
}
# Airflow's OpenLineage provider is optional, and imports this module when it is there.
NEEDS_A_PROVIDER = ("airflow_provider_aigen.openlineage",)
# Beyond what the newest Airflow and amazon provider bring. Think twice about another name here.
GAIN = {"obstore", "pyarrow", "pybase64"}


def closure(*names: str) -> set[str]:
    """The distributions that these need on this machine, themselves included."""
    found: set[tuple[str, str]] = set()
    waiting = [(canonicalize_name(name), "") for name in names]
    while waiting:
        name, extra = waiting.pop()
        if (name, extra) in found:
            continue
        found.add((name, extra))
        for text in distribution(name).requires or ():
            asked = Requirement(text)
            if asked.marker is None or asked.marker.evaluate({"extra": extra}):
                waiting += [(canonicalize_name(asked.name), part) for part in ("", *asked.extras)]
    return {name for name, _ in found}


def size_mib(name: str) -> int:
    """Of all that a distribution installed."""
    return sum(Path(file.locate()).stat().st_size for file in distribution(name).files or ()) >> 20


def main() -> None:
    """Ends with 1, or by an exception, where something is not as it should be."""
    extras = sys.argv[1:]
    left_out = (
        *NEEDS_A_PROVIDER,
        *(start for extra, starts in NEEDS_EXTRA.items() if extra not in extras for start in starts),
    )
    modules = pkgutil.walk_packages(
        airflow_provider_aigen.__path__, f"{airflow_provider_aigen.__name__}.", lambda _: None
    )
    for module in modules:
        if not module.name.startswith(left_out or "-") and not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    if not extras:
        there = {canonicalize_name(found.name) for found in distributions()}
        gain = there - closure("apache-airflow", "apache-airflow-providers-amazon") - {NAME}
        sizes = ", ".join(f"{name} ({size_mib(name)} MiB)" for name in sorted(gain))
        print(f"The wheel brings {len(there)} distributions, and beyond Airflow and the amazon provider: {sizes}")
        if gain != GAIN:
            sys.exit(f"only {sorted(GAIN)} should be new: see GAIN in scripts/installed_wheel.py")


if __name__ == "__main__":
    main()
