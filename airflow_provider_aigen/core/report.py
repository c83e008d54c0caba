# SPDX-License-Identifier: Apache-2.0
"""Counts of a run, reconciled: every planned document has exactly one outcome, or this raises (design §1, §3.1).

Error codes come from outside: one may be any text, and a new one for each document. In a report, and so in XCom, logs
and exceptions, they are named as dead-letter paths name them, and at most 50 apart. The tables have them as they came.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from airflow_provider_aigen.core.errors import DeadLetterRatioError, MissingOutcomesError, ReconciliationError
from airflow_provider_aigen.core.missing import Contribution, MissingDocuments
from airflow_provider_aigen.core.models import (
    CommitEntry,
    Outcome,
    OutputSettings,
    PlanBatch,
    RunReport,
)
from airflow_provider_aigen.core.spend import Cost, RunSpend

__all__ = ["MOST_CODES", "OTHER", "Reconciliation", "check_dead_letter_ratio", "codes_text", "counted", "most_frequent"]

OTHER = "other"
MOST_CODES = 50
_MOST_CODES_IN_TEXT = 10


@dataclass(slots=True)
class Reconciliation:
    """Fed with the plan's batches first, then with the run's own commits, then, while there are ``missing`` documents,
    with the commits of other runs, which may have taken them."""

    run_key: str
    missing: MissingDocuments = field(default_factory=MissingDocuments)
    commits: int = 0
    rows: int = 0
    outcomes: Counter[Outcome] = field(default_factory=Counter)
    error_codes: Counter[str] = field(default_factory=Counter)
    passing: Counter[str] = field(default_factory=Counter)
    healed: int = 0
    final: int = 0
    documents: int = 0

    def planned(self, batch: PlanBatch) -> None:
        """The next batch of the plan."""
        self.missing.add(document.document_id for document in batch.documents)
        self.documents += len(batch.documents)

    def own(self, entry: CommitEntry) -> None:
        """Account for a commit of this run. Raises ``ReconciliationError``."""
        for outcome in entry.outcomes:
            document_id = outcome.document.document_id
            if not self.missing.remove(document_id):
                if outcome.document.is_erased:
                    continue  # from the plan, too
                raise ReconciliationError(
                    f"document {document_id} was committed with batch {entry.batch} of run {self.run_key} without "
                    "being planned there, or twice"
                )
            self._count(Contribution.of(outcome))
        self.commits += 1

    def other(self, entry: CommitEntry) -> None:
        """Look for missing documents in another run's commit. An outcome other than gone stands over gone."""
        for outcome in entry.outcomes:
            self.missing.learn(outcome)

    def report(
        self,
        *,
        settings: OutputSettings | None = None,
        skipped: int = 0,
        api_calls: int = 0,
        answers_reused: int = 0,
        billed_retries: int = 0,
        paid_calls: int = 0,
        cost: Cost | None = None,
        spend: RunSpend | None = None,
    ) -> RunReport:
        """The reconciled counts. Raises ``ReconciliationError`` while a document has no outcome."""
        if lost := sum(1 for _ in self.missing.unknown()):
            raise MissingOutcomesError(
                f"{lost} of {self.documents} planned documents of run {self.run_key} have no outcome, "
                f"the first is document {min(self.missing.unknown())}: clear the task to go on",
                lost,
                self.documents,
            )
        for contribution, documents in self.missing.contributions():
            self._count(contribution, documents)
        self.missing.clear()
        return RunReport(
            run_key=self.run_key,
            settings=settings,
            documents=self.documents,
            extracted=self.outcomes[Outcome.EXTRACTED],
            partial=self.outcomes[Outcome.PARTIAL],
            dead_letter=self.outcomes[Outcome.DEAD_LETTER],
            gone=self.outcomes[Outcome.GONE],
            rows=self.rows,
            commits=self.commits,
            error_codes=dict(sorted(most_frequent(self.error_codes, MOST_CODES).items())),
            passing=dict(sorted(most_frequent(+self.passing, MOST_CODES).items())),
            healed=self.healed,
            final=self.final,
            skipped=skipped,
            api_calls=api_calls,
            answers_reused=answers_reused,
            billed_retries=billed_retries,
            paid_calls=paid_calls,
            cost=cost,
            spend=spend,
        )

    def _count(self, contribution: Contribution, documents: int = 1) -> None:
        self.outcomes[contribution.outcome] += documents
        self.rows += contribution.rows * documents
        if contribution.code is not None:
            self.error_codes[contribution.code] += documents
            self.passing[contribution.code] += contribution.passing * documents
        self.healed += contribution.healed * documents
        self.final += contribution.final * documents


def most_frequent(codes: Mapping[str, int], limit: int) -> dict[str, int]:
    """At most ``limit`` codes with their counts, the most frequent first, then ``other`` with the sum of the rest."""
    ordered = sorted((item for item in codes.items() if item[0] != OTHER), key=lambda item: (-item[1], item[0]))
    shown = dict(ordered[:limit])
    if rest := codes.get(OTHER, 0) + sum(count for _, count in ordered[limit:]):
        shown[OTHER] = rest
    return shown


def counted(count: int, noun: str, plural: str | None = None) -> str:
    """``1 commit``, ``2 commits``."""
    return f"{count} {noun if count == 1 else plural or noun + 's'}"


def codes_text(codes: Mapping[str, int]) -> str:
    """The ten most frequent for a line of a log: ``1001=3, 1003=1``; ``codes`` are path segments."""
    return ", ".join(f"{code}={count}" for code, count in most_frequent(codes, _MOST_CODES_IN_TEXT).items())


def check_dead_letter_ratio(report: RunReport, maximum: float | None) -> None:
    """Raise ``DeadLetterRatioError`` where dead letters are over ``maximum`` of the documents; all is committed."""
    if maximum is None or not report.documents:
        return
    ratio = report.dead_letter / report.documents
    if ratio > maximum:
        raise DeadLetterRatioError(
            f"{report.dead_letter} of {report.documents} documents ({ratio:.1%}) are dead letters, over the "
            f"max_dead_letter_ratio of {maximum:.1%}; all of them are committed, by code: "
            + codes_text(report.error_codes)
        )
