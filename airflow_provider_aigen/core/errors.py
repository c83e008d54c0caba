# SPDX-License-Identifier: Apache-2.0
"""The exceptions of the provider, grouped by what to do about them.

::

    AigenError
    ├── PermanentError              no task retry helps: mend what the message names, then clear the task
    │   ├── ConfigurationError      a parameter, the connection, a bucket or a permission is wrong
    │   │   └── ObjectDenied        S3 denied one object; where it lets others be read, that is the object's own matter
    │   │       └── ObjectInconsistent  the store lists an object and does not give it
    │   ├── AuthenticationError     the endpoint refused the key
    │   ├── AccountError            429 without Retry-After, again and again: credit exhausted, or the pace too high
    │   ├── ContractError           the endpoint answers many times in a row what the contract does not know
    │   ├── DeadLetterRatioError    all is committed, but more documents were dead-lettered than the DAG allows
    │   ├── SpendLimitError         one more call would pass max_spend; what was answered is committed
    │   └── UnfinishedPlanError     a task of a shared plan failed: clear that one, with its report
    ├── TransientError              try again later: what was answered is kept, the next try goes on from there
    │   ├── ServiceUnavailableError the endpoint is down, unreachable, or asks for more patience than a document has
    │   ├── StorageUnavailableError S3 failed in a way that passes (expired token, timeouts after the client's retries)
    │   └── StoppedError            the task was told to stop (SIGTERM, mark failed) and drained
    ├── DocumentRefusedError        one document's own fault; only ``AigenHook.extract`` raises it
    └── ReconciliationError         a planned document has no outcome, or two: a bug of this package
        └── MissingOutcomesError    the first of the two; of a shared plan it is an UnfinishedPlanError

    ObjectStoreCondition        answers of an object store that the protocol expects; none of them leaves the pipeline
    ├── ObjectNotFound
    ├── ObjectChanged
    ├── ObjectUnreadable        one object is there, but S3 does not hand it out: a dead letter with origin ``source``
    ├── DamagedState            a claim or a kept answer cannot be read: that document's dead letter
    └── AlreadyExists

No message carries an object's key, a field's value, the API key or a text from outside.
"""

from __future__ import annotations

from airflow_provider_aigen.core.path_segments import path_segment

__all__ = [
    "AccountError",
    "AigenError",
    "AlreadyExists",
    "AuthenticationError",
    "ConfigurationError",
    "ContractError",
    "DamagedState",
    "DeadLetterRatioError",
    "DocumentRefusedError",
    "MissingOutcomesError",
    "ObjectChanged",
    "ObjectDenied",
    "ObjectInconsistent",
    "ObjectNotFound",
    "ObjectStoreCondition",
    "ObjectUnreadable",
    "PermanentError",
    "ReconciliationError",
    "ServiceUnavailableError",
    "SpendLimitError",
    "StoppedError",
    "StorageUnavailableError",
    "TransientError",
    "UnfinishedPlanError",
]


class AigenError(Exception):
    """Base of everything that this package raises on purpose."""


class PermanentError(AigenError):
    """No task retry helps; the Airflow shell turns it into ``AirflowFailException``."""


class ConfigurationError(PermanentError, ValueError):
    """A parameter or an object outside is wrong. ``parameter`` names it; the message says what to do."""

    def __init__(self, parameter: str, problem: str) -> None:
        super().__init__(f"{parameter}: {problem}")
        self.parameter = parameter


class ObjectDenied(ConfigurationError):
    """S3 denied one object to be read, copied or deleted. ``code`` is the error code of its dead letter, if it is that
    object's own matter."""

    code = "access_denied"


class ObjectInconsistent(ObjectDenied):
    """The store's listing shows an object, and a read of it says that it is another one, or not there."""

    code = "inconsistent_object"


class AuthenticationError(PermanentError):
    """The endpoint can't be used with this key: 401, 403, 404 or 405, a TLS failure or a redirect (design §5)."""


class AccountError(PermanentError):
    """402, a code that speaks of credit, or 429 without ``Retry-After`` after two pauses: the credit is exhausted, or
    the pace is over what the key may do."""


class ContractError(PermanentError):
    """The contract changed: 20 unknown codes came in a row, without a success (design §5)."""


class DeadLetterRatioError(PermanentError):
    """There are more dead letters than ``max_dead_letter_ratio`` allows; everything is committed."""


class UnfinishedPlanError(PermanentError):
    """Documents of a plan that several tasks share have no outcome: one of these tasks failed."""


class SpendLimitError(PermanentError):
    """One more call would pass ``max_spend``. What was answered is committed; a later run takes the rest."""


class TransientError(AigenError):
    """A later try of the same task goes on where this one stopped."""


class ServiceUnavailableError(TransientError):
    """The endpoint failed for more than one document. ``retry_after_s`` is how long it asked to be left alone, if it
    did."""

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class StorageUnavailableError(TransientError):
    """S3 failed after its client's own retries."""


class StoppedError(TransientError):
    """The task was told to stop; what was answered is kept."""


class DocumentRefusedError(AigenError):
    """The endpoint refused one document for good. ``code`` is the contract's code as it came, ``status`` the HTTP
    status or None. The message names the code as a dead-letter path does: one from outside may be any text."""

    def __init__(self, code: str, status: int | None) -> None:
        said = f" (HTTP {status})" if status else ""
        super().__init__(f"the document was refused with code {path_segment(code)}{said}")
        self.code = code
        self.status = status


class ReconciliationError(AigenError):
    """The committed outcomes do not account for every planned document exactly once."""


class MissingOutcomesError(ReconciliationError):
    """``missing`` of the ``documents`` of a plan have no outcome."""

    def __init__(self, message: str, missing: int, documents: int) -> None:
        super().__init__(message)
        self.missing = missing
        self.documents = documents


class ObjectStoreCondition(Exception):
    """An answer of the object store that the protocol waits for; it never leaves the pipeline."""


class ObjectNotFound(ObjectStoreCondition):
    """The object is not there: 404 on a GET or on the source of a copy."""


class ObjectChanged(ObjectStoreCondition):
    """The object is another one by now: 412 on a GET, PUT or copy with ``If-Match``."""


class ObjectUnreadable(ObjectStoreCondition):
    """The object is there and S3 will not hand out its bytes, however often one asks. ``code`` is the dead letter's
    error code: ``archived_object``, ``encrypted_object`` (SSE-C) or ``unreadable_object``."""

    def __init__(self, code: str) -> None:
        super().__init__(f"the object cannot be read: {code}")
        self.code = code


class DamagedState(ObjectStoreCondition):
    """A claim or a kept answer cannot be read. ``kind`` says which of the two, ``content_sha256`` of which bytes."""

    def __init__(self, kind: str, content_sha256: str) -> None:
        super().__init__(f"the {kind} for the content with SHA-256 {content_sha256} cannot be read")
        self.kind = kind
        self.content_sha256 = content_sha256


class AlreadyExists(ObjectStoreCondition):
    """The key is taken, perhaps by one's own unacknowledged write: 412 on a PUT with ``If-None-Match: *``."""
