# SPDX-License-Identifier: Apache-2.0
"""The documentation: it builds without a warning and without another host, its links lead somewhere both in the
repository and in the site, what it names exists, and the quick start runs."""

from __future__ import annotations

import inspect
import os
import re
import signal
import subprocess
import sys
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml

from airflow_provider_aigen.operators.dead_letter import AigenDeadLetterRedriveOperator
from airflow_provider_aigen.operators.erase import AigenEraseOperator
from airflow_provider_aigen.operators.ocr import AigenOcrOperator
from airflow_provider_aigen.operators.tables import AigenRebuildTablesOperator
from tests.docs.markdown import NAMES, ROOT, blocks, prose, slugs, text
from tests.kit.servers.process import free_port
from tests.kit.servers.s3 import SeaweedPorts

BIN = Path(sys.executable).parent


# --- in the repository ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", NAMES)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = target.partition("#")
        path = (ROOT / page).parent / file if file else ROOT / page
        assert path.exists(), target
        assert path.resolve().is_relative_to(ROOT), target
        if anchor:
            assert anchor in slugs(path.resolve().relative_to(ROOT).as_posix()), target


@pytest.mark.parametrize("page", NAMES)
def test_python_compiles(page):
    for block in blocks(page):
        if block.language == "python":
            compile(block.text, page, "exec")


@pytest.mark.parametrize("page", NAMES)
def test_make_targets_exist(page):
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = set(re.findall(r"(?:^|`)make ([a-z-]+)", text(page), re.MULTILINE))
    assert named <= targets


@pytest.mark.parametrize("page", NAMES)
def test_programs_of_the_package_exist(page):
    for name in re.findall(r"python -m (airflow_provider_aigen[\w.]*)", text(page)):
        module = ROOT / Path(*name.split("."))
        assert module.with_suffix(".py").exists() or (module / "__main__.py").exists(), name


@pytest.mark.parametrize("page", NAMES)
def test_nothing_is_installed_from_an_index_that_does_not_have_it(page):
    """The package is on none yet: README says from where it is installed."""
    assert not re.search(r"pip install '?airflow-provider-aigen", text(page))


@pytest.mark.parametrize("page", NAMES)
def test_parameters_of_the_operator_exist(page):
    """What blocks pass to it, and on pages for its users what stands as ``name=`` in the text."""
    from airflow.providers.common.compat.sdk import DAG

    of_dag = set(inspect.signature(DAG).parameters)
    operators = (AigenOcrOperator, AigenRebuildTablesOperator, AigenDeadLetterRedriveOperator, AigenEraseOperator)
    known = {
        name
        for operator in operators
        for kind in operator.__mro__
        for name in inspect.signature(inspect.unwrap(kind.__init__)).parameters
    }
    calls = re.findall(
        r"AigenOcrOperator(?:\.partial)?\((.*?)^ *\)",
        "".join(block.text for block in blocks(page) if block.language == "python"),
        re.MULTILINE | re.DOTALL,
    )
    assert {name for call in calls for name in re.findall(r"^\s+(\w+)=", call, re.MULTILINE)} <= known
    if page.startswith(("docs/how-to/", "docs/pace.md", "docs/outcomes.md")):
        assert set(re.findall(r"`([a-z_]+)=[^`]*`", prose(page))) <= known | of_dag | {"dt", "name"}  # two partitions


# --- the site ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    pytest.importorskip("mkdocs", reason="the extra docs is not installed")
    folder = tmp_path_factory.mktemp("site")
    built = subprocess.run(
        [BIN / "mkdocs", "build", "--strict", "--site-dir", folder],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    assert "WARNING" not in built.stderr
    return folder


def test_every_page_is_in_the_navigation_once():
    def pages(entry):
        if isinstance(entry, str):
            return [entry]
        return [page for part in (entry if isinstance(entry, list) else entry.values()) for page in pages(part)]

    # The site's own tags are of no matter here.
    loader = type("Loader", (yaml.SafeLoader,), {})
    loader.add_multi_constructor("tag:yaml.org,2002:python/", lambda *_: None)
    listed = pages(yaml.load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"), loader)["nav"])
    assert len(set(listed)) == len(listed)
    there = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")}
    assert {page for page in there if not page.startswith("decisions/0")} <= set(listed)


def test_it_asks_no_other_host(site):
    for path in site.rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        loaded = re.findall(
            r'<(?:script|img|link|iframe|source)\b[^>]*?\b(?:src|href)="?((?:https?:)?//[^"\s>]+)', text
        )
        assert loaded == [], path.name
    for path in site.rglob("*.css"):
        assert not re.search(r"url\(['\"]?(https?:)?//", path.read_text(encoding="utf-8")), path.name


def test_every_decision_is_in_the_navigation(site):
    home = (site / "index.html").read_text(encoding="utf-8")
    for path in (ROOT / "docs" / "decisions").glob("0*.md"):
        assert f'href="decisions/{path.stem}.html"' in home


def test_readme_leads_to_pages_and_they_back_to_it(site):
    assert 'href="pace.html"' in (site / "overview.html").read_text(encoding="utf-8")
    assert 'href="example-dags.html#aigen_vehicle_registration"' in (site / "overview.html").read_text(encoding="utf-8")
    assert 'href="overview.html"' in (site / "index.html").read_text(encoding="utf-8")


def test_the_reference_is_made_of_docstrings(site):
    operators = (site / "reference" / "operators.html").read_text(encoding="utf-8")
    for name in AigenOcrOperator.template_fields:
        assert f"<code>{name}</code>" in operators
    for page in (site / "reference").glob("*.html"):
        text = re.sub(r"<[^>]+>", "", page.read_text(encoding="utf-8"))
        assert not re.search(r":(param|class|mod|func|meth):", text), page.name


# --- the quick start --------------------------------------------------------------------------------------------------


AIRFLOW_2 = version("apache-airflow").startswith("2.")


@pytest.mark.skipif(AIRFLOW_2, reason="its DAG is written for Airflow 3")
def test_the_quick_start_runs(tmp_path):
    """Every block in its order, in one shell; ports of its own, and servers that are stopped."""
    ports, endpoint = SeaweedPorts.free(), str(free_port())
    script = ""
    for block in blocks("docs/index.md"):
        if block.title:
            (tmp_path / block.title).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / block.title).write_text(block.text, encoding="utf-8")
        elif block.language == "bash" and not block.untested:
            script += block.text
    weed = [
        "weed mini -webdav=false -s3.port.iceberg=0 -s3.port.lance=0 -s3.localSocket=$PWD/s.sock",
        "-filer.localSocket=$PWD/f.sock -volume.preStopSeconds=0",
        *(f"-{name}.port={port}" for name, port in ports._asdict().items()),
    ]
    script = script.replace("8333", str(ports.s3)).replace("8089", endpoint).replace("weed mini", " ".join(weed))
    env = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW_", "AWS_"))}
    env |= {"PATH": f"{BIN}{os.pathsep}{env['PATH']}", "AIRFLOW__CORE__HOSTNAME_CALLABLE": "socket.gethostname"}
    with (tmp_path / "output").open("wb") as output:
        shell = subprocess.Popen(
            ["bash", "-euo", "pipefail", "-c", script + "kill %1 %2; wait\n"],
            cwd=tmp_path,
            env=env,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        status = shell.wait(1200)  # so long only where much else runs
    finally:
        with suppress(ProcessLookupError):
            os.killpg(shell.pid, signal.SIGKILL)
        ports.remove_sockets()
    said = (tmp_path / "output").read_text(encoding="utf-8")
    assert status == 0, said[-4000:]
    [promised] = [block.text for block in blocks("docs/index.md") if "12 extracted" in block.text]
    assert promised.partition(" codes:")[0] in said
