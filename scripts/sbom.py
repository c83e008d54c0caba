# SPDX-License-Identifier: Apache-2.0
"""What the wheel brings, all extras included, in CycloneDX: build/sbom.cdx.json, of the environment that
scripts/package.py left.

cyclonedx-py takes the root component from a pyproject.toml and leaves out a version that is dynamic: so it gets a copy
that says the wheel's. Ends with 1 where the root is not that wheel all the same.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from package import BIN, ROOT, VENV, expect, run

NAME = "airflow-provider-aigen"
SBOM = ROOT / "build" / "sbom.cdx.json"
DYNAMIC = 'dynamic = ["version"]\n'


def main() -> None:
    """Write it, and look at its root."""
    python = VENV / "bin" / "python"
    version = run(python, "-c", f"from importlib.metadata import version; print(version({NAME!r}))").strip()
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    expect(project.count(DYNAMIC) == 1, f"pyproject.toml has no line {DYNAMIC!r}")
    with tempfile.TemporaryDirectory() as folder:
        static = Path(folder) / "pyproject.toml"
        static.write_text(project.replace(DYNAMIC, f'version = "{version}"\n'), encoding="utf-8")
        run(BIN / "cyclonedx-py", "environment", "--pyproject", static, "--mc-type", "library", "--output-reproducible",
            "--spec-version", "1.6", "--output-file", SBOM, python)  # fmt: skip
    root = json.loads(SBOM.read_text(encoding="utf-8"))["metadata"]["component"]
    expect((root["name"], root.get("version")) == (NAME, version), f"the root of {SBOM.name} is {root}, not {version}")
    print(f"build/{SBOM.name}: {NAME} {version}")


if __name__ == "__main__":
    main()
