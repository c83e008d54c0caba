# SPDX-License-Identifier: Apache-2.0
"""Counts of a run, reconciled: every planned document has exactly one outcome, or this raises (design §1, §3.1)."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from airflow_provider_aigen.core.errors import DeadLetterRatioError, ReconciliationError
from airflow_provider_aigen.core.models import CommitEntry, DocumentOutcome, Outcome, PlanBatch, RunReport

__all__ = ["Reconciliation", "check_dead_letter_ratio"]


@dataclass(slots=True)
class Reconciliation:
    """Fed with the run's own batches and commits first, then, while ``missing``, with the commits of other runs that
    may have taken documents of this plan."""

    run_key: str
    missing: dict[str, DocumentOutcome | None] = field(default_factory=dict)
    commits: int = 0
    rows: int = 0
    outcomes: Counter[Outcome] = field(default_factory=Counter)
    error_codes: Counter[str] = field(default_factory=Counter)
    documents: int = 0

    def own(self, batch: PlanBatch, entry: CommitEntry | None) -> None:
        """Account for one batch; ``entry`` is None where other runs took all of it. Raises ``ReconciliationError``."""
        planned = {document.document_id for document in batch.documents}
        self.documents += len(batch.documents)
        for outcome in entry.outcomes if entry else ():
            if outcome.document.document_id not in planned:
                raise ReconciliationError(
                    f"document {outcome.document.document_id} was committed with batch {batch.number} of run "
                    f"{self.run_key} without being planned there, or twice"
                )
            planned.remove(outcome.document.document_id)
            self._count(outcome)
        self.commits += entry is not None
        self.missing.update(dict.fromkeys(planned))

    def foreign(self, entry: CommitEntry) -> None:
        """Look for missing documents in another run's commit. An outcome other than gone stands over gone."""
        for outcome in entry.outcomes:
            document_id = outcome.document.document_id
            if document_id in self.missing and (
                self.missing[document_id] is None or outcome.outcome is not Outcome.GONE
            ):
                self.missing[document_id] = outcome

    def report(self, *, api_calls: int = 0, answers_reused: int = 0, billed_retries: int = 0) -> RunReport:
        """The reconciled counts. Raises ``ReconciliationError`` while a document has no outcome."""
        lost = sorted(document_id for document_id, outcome in self.missing.items() if outcome is None)
        if lost:
            raise ReconciliationError(
                f"{len(lost)} of {self.documents} planned documents of run {self.run_key} have no outcome, "
                f"the first is document {lost[0]}: clear the task to go on"
            )
        for outcome in self.missing.values():
            if outcome is not None:
                self._count(outcome)
        self.missing.clear()
        return RunReport(
            run_key=self.run_key,
            documents=self.documents,
            extracted=self.outcomes[Outcome.EXTRACTED],
            partial=self.outcomes[Outcome.PARTIAL],
            dead_letter=self.outcomes[Outcome.DEAD_LETTER],
            gone=self.outcomes[Outcome.GONE],
            rows=self.rows,
            commits=self.commits,
            error_codes=dict(sorted(self.error_codes.items())),
            api_calls=api_calls,
            answers_reused=answers_reused,
            billed_retries=billed_retries,
        )

    def _count(self, outcome: DocumentOutcome) -> None:
        self.outcomes[outcome.outcome] += 1
        self.rows += outcome.field_count
        if outcome.error_code is not None:
            self.error_codes[outcome.error_code] += 1


def check_dead_letter_ratio(report: RunReport, maximum: float | None) -> None:
    """Raise ``DeadLetterRatioError`` where dead letters are over ``maximum`` of the documents; everything is committed."""
    if maximum is None or not report.documents:
        return
    ratio = report.dead_letter / report.documents
    if ratio > maximum:
        raise DeadLetterRatioError(
            f"{report.dead_letter} of {report.documents} documents ({ratio:.1%}) are dead letters, over the "
            f"max_dead_letter_ratio of {maximum:.1%}; all of them are committed, by code: "
            + ", ".join(f"{code}={count}" for code, count in report.error_codes.items())
        )
