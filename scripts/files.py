# SPDX-License-Identifier: Apache-2.0
"""Downloads test files of public packages, on which ``files_compare.py`` compares preflight with other readers.

``make files`` puts the packages' source distributions into build/files, and the readers into an environment there.
Nothing of that is part of the project.
"""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HOME = ROOT / "build" / "files"
SOURCES = HOME / "sources"
PYTHON = HOME / "venv" / "bin" / "python"
COMPARE = ROOT / "scripts" / "files_compare.py"

READERS = ("pillow==13.0.0", "pillow-heif==1.8.1", "pikepdf==10.18.0")
# What pip needs to look into source distributions, once instead of for each of them.
BACKENDS = (
    *("setuptools", "wheel", "setuptools-scm", "hatchling", "hatch-vcs", "flit-core", "poetry-core", "pdm-backend"),
    *("pybind11", "scikit-build-core", "cython", "numpy", "cffi", "defusedxml", "fonttools"),
)
PACKAGES = (
    *("pillow==13.0.0", "pillow-heif==1.8.1", "pikepdf==10.18.0", "pypdf==7.1.1", "glymur==0.14.8", "imagesize==2.0.1"),
    *("ocrmypdf==17.13.0", "img2pdf==0.6.3", "pyhanko==0.38.0", "pypdfium2==5.15.2", "rst2pdf==0.105", "pdftl==0.29.0"),
    *("pdfannots==0.5", "pdftotext==4.0.0", "tabula-py==2.10.0", "reportlab==5.1.0", "fpdf2==2.8.9", "sphinx==9.0.4"),
    *("thumbor==7.8.0", "wand==0.7.2", "python-docx==1.2.0", "python-pptx==1.0.2", "hachoir==3.4.0", "kivy==2.3.1"),
    *("filetype==1.2.0", "puremagic==1.30", "pypng==0.20220715.0", "sorl-thumbnail==13.4.0", "wagtail==8.0.1"),
    *("weasyprint==70.0", "img2table==2.0.0", "django-filer==3.6.0", "plone.namedfile==8.1.1", "plone.scale==5.1.0"),
)


def main() -> int:
    """Download what is missing, then compare in the environment that has the readers."""
    if not PYTHON.exists():
        venv.create(HOME / "venv", with_pip=True)
    if not SOURCES.exists():
        pip("install", "--upgrade", *READERS, *BACKENDS)
    for package in PACKAGES:
        target = SOURCES / package
        if not any(target.glob("*")):
            print(f"downloading {package}", flush=True)
            options = ("--no-binary", ":all:", "--no-deps", "--no-build-isolation", "--dest", str(target))
            pip("download", *options, package)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run([PYTHON, COMPARE, SOURCES], env=environment, check=False).returncode


def pip(*arguments: str) -> None:
    """Run the environment's pip; exits where it fails."""
    done = subprocess.run([PYTHON, "-m", "pip", "--quiet", *arguments], check=False, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"pip {' '.join(arguments)}\n{done.stderr[-2000:]}")


if __name__ == "__main__":
    sys.exit(main())
