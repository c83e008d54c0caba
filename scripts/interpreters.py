# SPDX-License-Identifier: Apache-2.0
"""Where this machine has a Python that an Airflow supports: ``interpreters.py oldest`` prints the first that there is.

uv looks; nothing is downloaded. Ends with 1, and says so, where there is none.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from versions import AIRFLOWS

UV = Path(sys.executable).with_name("uv")


def _environment() -> dict[str, str]:
    """With every Python that pyenv manages, where there is pyenv: its shims answer for the chosen version only."""
    environment = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    if shutil.which("pyenv") and "PYENV_VERSION" not in environment:
        versions = subprocess.run(["pyenv", "versions", "--bare"], capture_output=True, text=True, check=False).stdout
        if versions:
            environment["PYENV_VERSION"] = ":".join(versions.split())
    return environment


def find(version: str) -> Path | None:
    """The interpreter of that version (``3.12``), outside of any virtual environment."""
    found = subprocess.run(
        [UV, "python", "find", "--system", "--no-project", "--no-python-downloads", version],
        capture_output=True,
        text=True,
        env=_environment(),
        check=False,
    )
    return Path(found.stdout.strip()) if found.returncode == 0 else None


def main() -> int:
    """The exit code."""
    [airflow] = [airflow for airflow in AIRFLOWS if airflow.name == sys.argv[1]]
    for version in airflow.pythons:
        found = find(version)
        if found:
            print(found)
            return 0
    wanted = " or ".join(airflow.pythons)
    print(f"THE {airflow.name.upper()} AIRFLOW IS NOT TESTED: this machine has no Python {wanted}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
