# SPDX-License-Identifier: Apache-2.0
"""How well is each field read? A DuckDB query over the partitions that the OCR has just written to.

Started by the event of the table `fields`, which `aigen_vehicle_registration` emits when it added rows. By hand, it
takes the partition of the param `partition`. Needs DuckDB beside the provider; the result lies in
`field_quality/<partition>/field_quality.parquet` beside the tables, the log has it without any document's data.

`DESTINATION` is the OCR's own: a schedule has to be known when the file is parsed.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import Any

# Serves Airflow 2.11 and 3; for Airflow 3 alone, `from airflow.sdk import dag, task` is the same.
from airflow.providers.common.compat.sdk import Param, dag, get_current_context, task

from airflow_provider_aigen.assets import fields_asset, triggering_partitions

DESTINATION = "lake/vehicle_registration"

log = logging.getLogger(__name__)

QUERY = """\
SELECT field_name,
       count(*)                         AS rows,
       count(value)                     AS read,
       round(avg(confidence), 3)        AS mean_confidence,
       count(*) FILTER (needs_review)   AS to_review
FROM fields
WHERE document_id IN (  -- of two scans of one book, the newer one
    SELECT arg_max(document_id, (source_last_modified, "commit"))
    FROM documents WHERE outcome <> 'gone' GROUP BY source_uri
)
GROUP BY field_name
ORDER BY to_review DESC, field_name"""


@dag(
    schedule=[fields_asset(f"s3://{DESTINATION}/")],
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    params={"partition": Param(None, type=["null", "string"], description="of a run by hand: dt=2026-11-22")},
    default_args={"retries": 2, "retry_delay": timedelta(minutes=1), "execution_timeout": timedelta(minutes=30)},
    doc_md=__doc__,
    tags=["aigen", "ocr"],
)
def aigen_field_quality() -> None:
    """The partitions that are new, then a query and a Parquet file for each."""

    @task
    def new_partitions() -> list[str]:
        """Hourly runs of the OCR share a day: several events, one partition."""
        context = get_current_context()
        by_hand = context["params"]["partition"]
        return triggering_partitions(context) or ([by_hand] if by_hand else [])

    @task
    def query(partition: str) -> int:
        """Write the quality of one partition; returns how many fields it has."""
        import duckdb
        import pyarrow.dataset as ds
        import pyarrow.parquet as pq

        # DuckDB reads through Arrow the columns that it needs: its own S3 extension is one more thing to install.
        s3 = s3_filesystem()
        with duckdb.connect() as database:
            for name in ("fields", "documents"):
                database.register(name, ds.dataset(f"{DESTINATION}/{name}/{partition}", filesystem=s3))
            quality = database.sql(QUERY)
            log.info("%s:\n%s", partition, quality)
            table = quality.to_arrow_table()
        pq.write_table(table, f"{DESTINATION}/field_quality/{partition}/field_quality.parquet", filesystem=s3)
        return int(table.num_rows)

    query.expand(partition=new_partitions())


def s3_filesystem() -> Any:
    """S3 for Arrow, from the same connection as the OCR's."""
    from airflow.providers.amazon.aws.hooks.s3 import S3Hook
    from pyarrow.fs import S3FileSystem

    hook = S3Hook("aws_default")
    credentials = hook.get_credentials()
    return S3FileSystem(
        access_key=credentials.access_key,
        secret_key=credentials.secret_key,
        session_token=credentials.token,
        region=hook.region_name,
        endpoint_override=hook.conn_config.endpoint_url,
    )


aigen_field_quality()
