# SPDX-License-Identifier: Apache-2.0
"""Builds sdist and wheel into dist/, looks at what is in them, and uses the wheel as its user would.

The wheel goes into an empty environment (build/package) with what it declares and no more, at the versions of
the lock; what that brings beside Airflow and the amazon provider is printed, and may only be what
scripts/installed_wheel.py lists. Ends with 1, and says why, where something is not as it should be.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import zipfile
from pathlib import Path

from packaging.metadata import Metadata
from packaging.requirements import Requirement
from versions import NEWEST, ROOT

BIN = Path(sys.executable).parent
DIST = ROOT / "dist"
VENV = ROOT / "build" / "package"
PACKAGE = "airflow_provider_aigen"


def run(*command: str | Path, cwd: Path = ROOT, **environment: str) -> str:
    """What it prints; all of it, and an end, if it fails."""
    done = subprocess.run(command, cwd=cwd, env=os.environ | environment, text=True, capture_output=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}")
    return done.stdout


def expect(holds: object, otherwise: str) -> None:
    """Ends the program with the sentence unless it holds."""
    if not holds:
        sys.exit(otherwise)


def build() -> tuple[Path, Path]:
    """The sdist, and the wheel that is built from it, so that a build from the sdist gives the same."""
    shutil.rmtree(DIST, ignore_errors=True)
    # Not in isolation: that would fetch a build backend that is not in the lock.
    run(BIN / "uv", "build", "--quiet", "--no-build-isolation", "--python", sys.executable, "--out-dir", DIST)
    [sdist], [wheel] = DIST.glob("*.tar.gz"), DIST.glob("*.whl")
    (DIST / ".gitignore").unlink(missing_ok=True)
    run(BIN / "twine", "check", "--strict", sdist, wheel)
    return sdist, wheel


def check_contents(sdist: Path, wheel: Path) -> None:
    """Every file of the package that git knows, its licence, and nothing else."""
    tracked = set(run("git", "ls-files", PACKAGE).split()) if (ROOT / ".git").exists() else set()
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if not name.endswith("/")}
        [info] = {name.partition("/")[0] for name in names if ".dist-info/" in name}
        metadata = Metadata.from_email(archive.read(f"{info}/METADATA"))
    files = {name for name in names if not name.startswith(info)}
    expect({f"{PACKAGE}/py.typed", f"{PACKAGE}/adapters/limits/redis_pace.lua"} <= files, f"{wheel.name} lacks a file")
    expect(all(name.startswith(f"{PACKAGE}/") for name in files), f"{wheel.name} holds more than the package")
    expect(tracked <= files, f"{wheel.name} lacks {sorted(tracked - files)}")
    expect(f"{info}/licenses/LICENSE" in names, f"{wheel.name} has no licence")
    with tarfile.open(sdist) as archive:
        tops = {name.split("/")[1] for name in archive.getnames() if "/" in name}
    expect({PACKAGE, "pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md"} <= tops, f"{sdist.name} has only {tops}")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = {str(asked) for asked in metadata.requires_dist or () if "extra ==" not in str(asked)}
    expect(
        declared == {str(Requirement(text)) for text in project["dependencies"]}, f"{wheel.name} asks for {declared}"
    )


def install(wheel: Path, extra: str = "") -> None:
    """Into the empty environment, with the versions of the lock. uv checks their hashes; where it can't reach
    what pip can, pip does it without, since it asks for a hash of the wheel as well."""
    python, lock = VENV / "bin" / "python", ROOT / NEWEST.lock
    command = [BIN / "uv", "pip", "install", "--quiet", "--python", python, "--constraint", lock, f"{wheel}{extra}"]
    if subprocess.run(command, cwd=ROOT, check=False).returncode:
        print("uv could not install the wheel: trying pip, which takes longer", file=sys.stderr)
        pins = [line.rstrip(" \\") for line in lock.read_text(encoding="utf-8").splitlines() if line[:1].isalnum()]
        with tempfile.NamedTemporaryFile("w", suffix=".txt") as constraints:
            constraints.write("\n".join(pins))
            constraints.flush()
            run(BIN / "python", "-m", "pip", "--python", python, "install", "--quiet", "--constraint", constraints.name,
                f"{wheel}{extra}")  # fmt: skip


def use(wheel: Path) -> str:
    """What the installation brought, after Airflow has found the provider and every module was imported."""
    shutil.rmtree(VENV, ignore_errors=True)
    run(BIN / "uv", "venv", "--quiet", "--python", sys.executable, VENV)
    install(wheel)
    python, look = VENV / "bin" / "python", ROOT / "scripts" / "installed_wheel.py"
    with tempfile.TemporaryDirectory() as home:
        empty = {"cwd": Path(home), "AIRFLOW_HOME": home, "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
        said = run(python, look, **empty)
        listed = run(VENV / "bin" / "airflow", "providers", "list", "--output", "plain", **empty)
        expect("airflow-provider-aigen" in listed, f"`airflow providers list` does not show it:\n{listed}")
        install(wheel, "[redis,simulator]")
        run(python, look, "redis", "simulator", **empty)
        expect("--port" in run(python, "-m", f"{PACKAGE}.simulator", "--help", **empty), "the simulator has no help")
    return said


def main() -> None:
    """All of it."""
    sdist, wheel = build()
    check_contents(sdist, wheel)
    print(use(wheel), end="")
    print(f"{wheel.name} ({wheel.stat().st_size // 1024} KiB) and {sdist.name} are as they should be")


if __name__ == "__main__":
    main()
