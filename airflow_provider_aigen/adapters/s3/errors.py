# SPDX-License-Identifier: Apache-2.0
"""botocore's failures → the exceptions of :mod:`~airflow_provider_aigen.core.errors` (design §5, the S3 rows).

A message names the bucket, the operation, the permission to look at and S3's error code. It never repeats S3's own
sentence: that one carries the object's key.
"""

from __future__ import annotations

import re
import ssl
from dataclasses import dataclass
from urllib.parse import urlsplit

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,  # noqa: A004 - botocore's own, and no OSError
    CredentialRetrievalError,
    FlexibleChecksumError,
    HTTPClientError,
    IncompleteReadError,
    NoAuthTokenError,
    NoCredentialsError,
    ParamValidationError,
    PartialCredentialsError,
    SSLError,
    SSOError,
    TokenRetrievalError,
)
from botocore.parsers import ResponseParserError
from urllib3.util.ssl_match_hostname import CertificateError

from airflow_provider_aigen.core.errors import (
    AlreadyExists,
    ConfigurationError,
    ObjectChanged,
    ObjectDenied,
    ObjectNotFound,
    ObjectUnreadable,
    StorageUnavailableError,
)

__all__ = ["S3Call", "WriteConflict", "translate"]


class WriteConflict(Exception):
    """409: another conditional write of the same key is under way. The caller tries again, since botocore does not."""


@dataclass(frozen=True, slots=True)
class S3Call:
    """The call that failed. ``operation`` is its name in S3's API, ``source_bucket`` the bucket of a copy's source."""

    operation: str
    bucket: str
    create_only: bool = False
    if_match: bool = False
    source_bucket: str | None = None
    expected_bucket_owner: bool = False
    kms: bool = False

    @property
    def buckets(self) -> str:
        if self.source_bucket and self.source_bucket != self.bucket:
            return f"s3://{self.source_bucket} to s3://{self.bucket}"
        return f"s3://{self.bucket}"


_PERMISSIONS = {
    "ListObjectsV2": "s3:ListBucket on the bucket",
    # Without ListBucket, S3 says of an object that does not exist that access is denied.
    "GetObject": "s3:GetObject on its objects and s3:ListBucket on the bucket",
    "HeadObject": "s3:GetObject on its objects and s3:ListBucket on the bucket",
    "PutObject": "s3:PutObject on its objects",
    "CopyObject": "s3:GetObject on the source's objects and s3:PutObject on the destination's",
    "DeleteObject": "s3:DeleteObject on its objects",
}
_KMS_PERMISSIONS = {
    "GetObject": "kms:Decrypt",
    "PutObject": "kms:GenerateDataKey",
    "CopyObject": "kms:Decrypt and kms:GenerateDataKey",
}

# What is denied may be one object's matter: a policy, a tag or a key of its own.
_OF_ONE_OBJECT = {"GetObject", "CopyObject", "DeleteObject"}

_CREDENTIALS = {
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "InvalidSecurity",
    "InvalidToken",
    "MissingAuthenticationToken",
    "MissingSecurityHeader",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
}
_REGION = {
    "301",
    "AuthorizationHeaderMalformed",
    "IllegalLocationConstraintException",
    "IncorrectEndpoint",
    "PermanentRedirect",
    "TemporaryRedirect",
}
_PASSING = {
    "ExpiredToken",
    "ExpiredTokenException",
    "InternalError",
    "PriorRequestNotComplete",
    "RequestExpired",
    "RequestLimitExceeded",
    "RequestTimeout",
    "RequestTimeTooSkewed",
    "ServiceUnavailable",
    "SlowDown",
    "TokenRefreshRequired",
    "TooManyRequests",
}
_CONFLICT = {"ConditionalRequestConflict", "OperationAborted"}
# Errors of a GET or a copy that are about one object and not about the bucket, the caller or the service. The values
# are the error codes of the dead letter (design §5, origin ``source``).
_UNREADABLE = {
    "InvalidObjectState": "archived_object",  # a storage class such as GLACIER: readable only after a restore
    "ObjectNotInActiveTierError": "archived_object",  # the same for a copy
    "InvalidURI": "unreadable_object",
    "KeyTooLongError": "unreadable_object",
    "MethodNotAllowed": "unreadable_object",
    "XMinioInvalidObjectName": "unreadable_object",
}

_UNREADABLE_FILE = (FileNotFoundError, IsADirectoryError, NotADirectoryError, PermissionError)


def translate(error: Exception, call: S3Call) -> Exception:
    """The exception to raise instead of ``error``. Raise it outside the ``except`` clause: a chained traceback would
    show the client's own message, which holds the key."""
    if isinstance(error, ClientError):
        return _client_error(error, call)
    name = type(error).__name__
    if isinstance(error, NoCredentialsError | PartialCredentialsError | NoAuthTokenError | SSOError):
        return ConfigurationError("aws_conn_id", f"the AWS connection has no usable credentials ({name})")
    if isinstance(error, ParamValidationError):
        return _not_sent(error, call)
    if (lasting := _lasting(error, call)) is not None:
        return lasting
    passing = (
        ConnectionError,
        HTTPClientError,
        IncompleteReadError,
        ResponseParserError,
        FlexibleChecksumError,
        CredentialRetrievalError,
        TokenRetrievalError,
    )
    if isinstance(error, passing) or not isinstance(error, BotoCoreError | ValueError | TypeError):
        return StorageUnavailableError(f"{call.operation} on {call.buckets} failed: {name}")
    return ConfigurationError(call.buckets, f"{call.operation} could not be sent ({name}): look at the AWS connection")


def _untrusted(error: SSLError) -> ConfigurationError | None:
    """What is wrong with the certificates; None where the handshake broke off for another reason, which may pass. The
    host may be another one than the store's: the service that hands out a role's credentials."""
    reason = next(iter(getattr(error.kwargs.get("error"), "args", ())), None)
    if isinstance(reason, ssl.SSLCertVerificationError | CertificateError):
        host = urlsplit(str(error.kwargs.get("endpoint_url"))).hostname
        why = getattr(reason, "verify_message", "it is another host's")
        return ConfigurationError(
            "aws_conn_id",
            f"the certificate of {host} cannot be trusted ({why}): set verify in the AWS connection's extra to the "
            "file of the authority that signed it, or correct endpoint_url or this machine's clock",
        )
    if isinstance(reason, _UNREADABLE_FILE) or getattr(reason, "reason", None) == "NO_CERTIFICATE_OR_CRL_FOUND":
        return ConfigurationError(
            "aws_conn_id", "verify in its extra, or AWS_CA_BUNDLE, names no file of certificates that can be read"
        )
    return None


def _lasting(error: Exception, call: S3Call) -> ConfigurationError | None:
    """What is wrong where the client itself fails over a certificate or an answer, and would fail over it again."""
    if isinstance(error, SSLError):
        return _untrusted(error)
    if isinstance(error, RecursionError):  # it asks for the bucket's region, and is redirected again
        return _configuration("", 301, "redirects without an end", call)
    if call.operation == "ListObjectsV2" and type(error) is ValueError and "endpoint" not in str(error).lower():
        return ConfigurationError(
            call.buckets, "the listing has a Size or a LastModified that cannot be read: use another store"
        )
    return None


def _not_sent(error: ParamValidationError, call: S3Call) -> Exception:
    report = str(error)
    if "Unknown parameter" in report:
        return ConfigurationError("boto3", f"is too old for a conditional {call.operation}: upgrade it")
    if "bucket name" in report.lower():
        return ConfigurationError(call.buckets, "is no valid bucket name")
    if call.operation in ("GetObject", "CopyObject"):
        return ObjectUnreadable("unreadable_object")
    return ConfigurationError(call.buckets, f"{call.operation} was refused by the client: the prefix is no valid key")


def _client_error(error: ClientError, call: S3Call) -> Exception:
    code = str(error.response.get("Error", {}).get("Code", ""))
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    shown = code if re.fullmatch(r"[A-Za-z0-9._-]{1,64}", code) else f"HTTP {status}"
    if error.operation_name != call.operation:  # a refresh of the credentials, for a role for example
        if _passes(code, status):
            return StorageUnavailableError(f"{error.operation_name} for the AWS credentials failed: {shown}")
        return ConfigurationError(
            "aws_conn_id", f"{error.operation_name} for the AWS credentials was refused ({shown})"
        )
    condition = _condition(error, code, status, call)
    if condition is not None:
        return condition
    if _passes(code, status):
        return StorageUnavailableError(f"{call.operation} on {call.buckets} failed: {shown} (HTTP {status})")
    return _configuration(code, status, shown, call)


def _condition(error: ClientError, code: str, status: int, call: S3Call) -> Exception | None:
    """The exception for an answer that the protocol expects; None for any other answer."""
    if status in (304, 412) or code == "PreconditionFailed":  # some stores say of any condition "not modified"
        return AlreadyExists("the key is taken") if call.create_only else ObjectChanged("the object is another one")
    if code in _CONFLICT:
        return WriteConflict()
    reads = call.operation in ("GetObject", "HeadObject", "CopyObject")
    if reads and code in _UNREADABLE:
        return ObjectUnreadable(_UNREADABLE[code])
    if reads and code == "InvalidRequest":  # perhaps SSE-C, which only S3's sentence shows
        return ObjectUnreadable("encrypted_object" if "ncrypt" in _sentence(error) else "unreadable_object")
    if status == 404 and code != "NoSuchBucket" and (reads or call.if_match):
        return ObjectNotFound("the object is not there")
    return None


def _sentence(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Message", ""))


def _passes(code: str, status: int) -> bool:
    return code in _PASSING or "Throttl" in code or status in (408, 429) or (status >= 500 and status != 501)


def _configuration(code: str, status: int, shown: str, call: S3Call) -> ConfigurationError:
    if code in _CREDENTIALS:
        return ConfigurationError(
            "aws_conn_id", f"the credentials were refused by {call.operation} on {call.buckets} ({shown})"
        )
    if code in _REGION or status in (301, 302, 307, 308):
        problem = (
            f"{call.operation} went to the wrong region or endpoint ({shown}): set region_name or endpoint_url in the "
            "AWS connection's extras"
        )
    elif status == 404:
        problem = f"there is no such bucket ({call.operation}: {shown})"
    elif status == 501 and call.operation == "CopyObject":
        problem = f"the store cannot copy an object ({shown})"
    elif status == 501:
        problem = f"the store does not implement conditional requests ({call.operation}: {shown})"
    elif code.startswith("KMS"):
        problem = f"{call.operation}: the KMS key cannot be used ({shown})"
    elif status == 403:
        problem = _denied(shown, call)
    else:
        problem = f"{call.operation} was refused with {shown} (HTTP {status})"
        if call.create_only or call.if_match:
            problem += ": perhaps the store has no conditional writes"
    denied = status == 403 or code.startswith("KMS") or (call.operation == "CopyObject" and status == 501)
    if call.operation in _OF_ONE_OBJECT and denied and code not in _REGION:
        return ObjectDenied(call.buckets, problem)
    return ConfigurationError(call.buckets, problem)


def _denied(shown: str, call: S3Call) -> str:
    problem = f"{call.operation} was denied ({shown}): allow {_PERMISSIONS[call.operation]}"
    key = _KMS_PERMISSIONS.get(call.operation)
    if key:
        problem += f"; where a KMS key encrypts, {key} on that key" if not call.kms else f"; {key} on sse_kms_key_id"
    if call.operation in ("PutObject", "CopyObject") and not call.kms:
        problem += (
            "; where the bucket's policy demands encryption in each request, set sse_kms_key_id (AES256 for SSE-S3)"
        )
    if call.expected_bucket_owner:
        problem += "; or expected_bucket_owner is not the account that owns the bucket"
    return problem
