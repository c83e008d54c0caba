# SPDX-License-Identifier: Apache-2.0
"""Mutation testing of ``core``: a table by module, and each survivor with its reason or without.

mutmut makes the mutants and runs the tests that reach them; what it left in ``mutants/`` is read here. A survivor is
known by its function and by the line before and after, not by mutmut's number, which moves with every edit of the
function. ``tests/mutants_explained.toml`` says why a survivor may live. Ends with 1 where fewer than 90 % are killed, a
survivor has no reason, a reason has no survivor, or a mutant was not run.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mutmut.mutation.data import SourceFileMutationData
from mutmut.mutation.diff_apply import get_diff_for_mutant
from mutmut.stats import status_by_exit_code
from mutmut.utils.file_utils import walk_mutatable_files
from mutmut.utils.format_utils import orig_function_and_class_names_from_key

ROOT = Path(__file__).parent.parent
EXPLAINED = ROOT / "tests" / "mutants_explained.toml"
LEAST_KILLED = 0.9
# A mutant that hangs or breaks the interpreter is noticed like one that fails a test.
KILLED = {"killed", "timeout", "segfault"}
NOT_RUN = {"not checked", "check was interrupted by user"}


@dataclass(frozen=True)
class Survivor:
    """A mutant that no test noticed: ``module.Class.method``, the changed lines before and after, without indents."""

    function: str
    was: str
    now: str


@dataclass(frozen=True)
class Explanation:
    """Why the survivors that it matches may live: those of one function, line and change, or of all left out."""

    function: str
    why: str
    was: str | None = None
    now: str | None = None

    def matches(self, survivor: Survivor) -> bool:
        return (
            self.function == survivor.function and self.was in (None, survivor.was) and self.now in (None, survivor.now)
        )


def results() -> Iterator[tuple[str, str, str, Path]]:
    """(module, mutant, status, source file) of every mutant."""
    for path in walk_mutatable_files():
        data = SourceFileMutationData(path=path)
        data.load()
        for mutant, code in data.exit_code_by_key.items():
            yield path.stem, mutant, status_by_exit_code[code], path


def survivor(module: str, mutant: str, path: Path) -> Survivor:
    """What a mutant changed, from mutmut's diff."""
    function, owner = orig_function_and_class_names_from_key(mutant)
    lines = get_diff_for_mutant(mutant, path=path).splitlines()[2:]  # without the two lines that name the files
    was, now = (" ".join(line[1:].strip() for line in lines if line.startswith(sign)) for sign in "-+")
    return Survivor(".".join(filter(None, (module, owner, function))), was, now)


def print_table(counts: dict[str, Counter[str]]) -> None:
    """One line a module and one of sums; the shares are of the mutants that were run."""
    print(f"{'module':16}{'mutants':>9}{'killed':>9}{'survived':>10}{'not run':>9}{'killed':>9}")
    for module, count in [*sorted(counts.items()), ("core", sum(counts.values(), Counter()))]:
        run = count["killed"] + count["survived"]
        share = f"{count['killed'] / run:.1%}" if run else "-"
        print(
            f"{module:16}{count.total():>9}{count['killed']:>9}{count['survived']:>10}{count['not run']:>9}{share:>9}"
        )


def report() -> bool:
    """Prints what the last run found; whether all is as it should be."""
    explanations = [Explanation(**entry) for entry in tomllib.loads(EXPLAINED.read_text(encoding="utf-8"))["survivor"]]
    counts: dict[str, Counter[str]] = {}
    unexplained: list[Survivor] = []
    used: Counter[Explanation] = Counter()
    for module, mutant, status, path in results():
        kind = "killed" if status in KILLED else "not run" if status in NOT_RUN else "survived"
        counts.setdefault(module, Counter())[kind] += 1
        if kind == "survived":
            found = survivor(module, mutant, path)
            why = next((explanation for explanation in explanations if explanation.matches(found)), None)
            if why is None:
                unexplained.append(found)
            else:
                used[why] += 1
    for found in unexplained:
        print(f"unexplained: {found.function}\n  - {found.was}\n  + {found.now}")
    total = sum(counts.values(), Counter())
    stale = [] if total["not run"] else [explanation for explanation in explanations if not used[explanation]]
    for explanation in stale:
        print(f"explains no survivor: {explanation.function}: {explanation.was or 'any line'}")
    print_table(counts)
    share = total["killed"] / max(1, total["killed"] + total["survived"])
    print(f"{share:.1%} of those run are killed; survivors: {used.total()} explained, {len(unexplained)} not")
    return share >= LEAST_KILLED and not unexplained and not stale and not total["not run"]


def main() -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=2, help="mutants tested at once")
    parser.add_argument("--report", action="store_true", help="run nothing, tell what the last run found")
    arguments = parser.parse_args()
    os.chdir(ROOT)  # mutmut reads pyproject.toml, and writes mutants/, where it stands
    if not arguments.report:
        mutmut = Path(sys.executable).with_name("mutmut")
        subprocess.run([mutmut, "run", "--max-children", str(arguments.jobs)], check=True)
    return 0 if report() else 1


if __name__ == "__main__":
    sys.exit(main())
