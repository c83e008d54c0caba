# SPDX-License-Identifier: Apache-2.0
"""The operator with less patience, importable from a subprocess too."""

from __future__ import annotations

from airflow_provider_aigen.core.config import PipelineConfig, RetryConfig
from airflow_provider_aigen.operators.ocr import AigenOcrOperator

__all__ = ["QuickOcrOperator"]


class QuickOcrOperator(AigenOcrOperator):
    """Waits less than the real one, and may retry as large a share of its calls as it has to."""

    def _pipeline_config(self, timeout_s: float) -> PipelineConfig:
        retry = RetryConfig(backoff_base_s=0.02, billed_ratio=1.0)
        return PipelineConfig(max_in_flight=self.max_in_flight, claim_s=1.0, retry=retry)
