# SPDX-License-Identifier: Apache-2.0
"""Buttons on the task's page: the run's report, its dead letters, its output. Airflow sorts them by name.

The task makes the URLs while its AWS connection is open and keeps them as XComs, so that the web server needs neither
connection nor provider: Airflow 3 reads the XCom by its key, Airflow 2 asks ``get_link``. A URL holds what the user's
own parameters say, and the report's name, which is a hash: no key or value of a document (design §1).
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import quote, urlencode, urlsplit

from airflow.providers.common.compat.sdk import BaseOperatorLink, XCom

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import BaseOperator, Context, TaskInstanceKey

__all__ = ["AigenDeadLettersLink", "AigenOutputLink", "AigenReportLink", "s3_url"]

log = logging.getLogger(__name__)

# The AWS partitions whose console is open to the public.
_CONSOLES = {
    "aws": "https://console.aws.amazon.com",
    "aws-cn": "https://console.amazonaws.cn",
    "aws-us-gov": "https://console.amazonaws-us-gov.com",
}
_AMAZON = (".amazonaws.com", ".amazonaws.com.cn", ".api.aws")
_ANY_REGION = "aws-global"


class _S3Link(BaseOperatorLink):
    """A button that leads to a place on S3.

    Airflow 3 reads the URL from the XCom ``xcom_key`` by itself, also while the task still runs."""

    name: ClassVar[str]
    xcom_key: ClassVar[str]

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:  # noqa: ARG002 - the XCom holds the URL
        """The URL that the task kept, or ``""`` if the task has not kept one."""
        return XCom.get_value(key=self.xcom_key, ti_key=ti_key) or ""

    @classmethod
    def persist(cls, context: Context, operator: Any, client: Any, uri: str) -> None:
        """Keep the URL of ``uri``, an S3 URI, as XCom; ``client`` is the boto3 client that serves it.

        If that fails, the task goes on. Nothing is kept without ``do_xcom_push``, as with the amazon provider's links.
        Never call this while the event loop runs (design §7)."""
        from airflow.configuration import conf  # noqa: PLC0415 - only a running task asks

        meta, browser = client.meta, conf.get("aigen", "s3_browser_url", fallback="")
        url = s3_url(
            uri, endpoint_url=meta.endpoint_url, region=meta.region_name, partition=meta.partition, browser=browser
        )
        if not url or not operator.do_xcom_push:
            return
        try:
            context["ti"].xcom_push(key=cls.xcom_key, value=url)
        except Exception as error:  # noqa: BLE001 - whatever the API server answers
            log.debug("The link %s was not kept: %s", cls.name, type(error).__name__)


class AigenReportLink(_S3Link):
    """A button that leads to the run's report: counts, codes, cost."""

    name = "Run report"
    xcom_key = "_link_AigenReportLink"


class AigenDeadLettersLink(_S3Link):
    """A button that leads to the prefix of the dead letters, with one folder per code."""

    name = "S3 dead letters"
    xcom_key = "_link_AigenDeadLettersLink"


class AigenOutputLink(_S3Link):
    """A button that leads to the prefix of the tables."""

    name = "S3 output"
    xcom_key = "_link_AigenOutputLink"


def s3_url(uri: str, *, endpoint_url: str, region: str | None, partition: str, browser: str = "") -> str:
    """The URL at which a browser finds an S3 URI, which is a prefix if it ends with ``/``, and else an object.

    Where ``browser`` (the setting ``[aigen] s3_browser_url``) names a web page for S3, it is
    ``<browser>/<bucket>/<key>``. Else, for Amazon's own endpoints, VPC endpoints included, it is the page of the AWS
    console, or ``""`` in a partition without a public console. For any other endpoint it is the endpoint's own URL of
    the object, or of the prefix's listing (ListObjectsV2), which opens for a person who may read it without a
    signature."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    if browser:
        return f"{browser.rstrip('/')}/{bucket}/{quote(key)}"
    is_prefix = not key or key.endswith("/")
    parts = urlsplit(endpoint_url)
    if f".{parts.hostname or ''}".endswith(_AMAZON):
        console = _CONSOLES.get(partition)
        if console is None:
            return ""
        query = {} if region in (None, _ANY_REGION) else {"region": region}
        query |= {"prefix": key} if key else {}
        return f"{console}/s3/{'buckets' if is_prefix else 'object'}/{bucket}{_query(query)}"
    server = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path.rstrip('/')}"
    if is_prefix:
        query = {"list-type": "2", "delimiter": "/"} | ({"prefix": key} if key else {})
        return f"{server}/{bucket}{_query(query)}"
    return f"{server}/{bucket}/{quote(key)}"


def _query(parameters: dict[str, Any]) -> str:
    return f"?{urlencode(parameters, safe='/', quote_via=quote)}" if parameters else ""
