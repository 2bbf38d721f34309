"""What tillhouse asks of S3: list, read one version of an object, write encrypted. boto3 is met here alone.

Credentials, region and endpoint come from where AWS's own tools take them (environment, `~/.aws`, the machine's role;
`AWS_ENDPOINT_URL_S3` for another store that speaks S3). Every request is tried again here and nowhere else, so that the
number of tries is known. What a server says in its errors is not repeated: it may name keys and people.
"""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import boto3
import botocore.session
from boto3.exceptions import S3UploadFailedError
from boto3.s3.transfer import TransferConfig
from botocore import exceptions
from botocore.config import Config
from botocore.loaders import create_loader

from ingestion.preflight import private_file
from ingestion.retries import PassingError, with_retries
from settings.errors import AccessError, ConfigurationError

T = TypeVar("T")

KMS_KEY_VARIABLE = "TILLHOUSE_S3_KMS_KEY"
CONNECT_SECONDS = 10
READ_SECONDS = 60  # between two pieces of an answer, not for the whole of it
CHECKSUM_MODE = {
    "ChecksumMode": "ENABLED"
}  # the store states the checksum that it has, and botocore compares
PIECE_BYTES = 1 << 20
PAGE_KEYS = 1_000  # the most that S3 gives at a time
MULTIPART_BYTES = 64 << 20  # larger files go up in parts, of which each may be sent again

PASSING_CODES = frozenset({
    "SlowDown", "Throttling", "ThrottlingException", "RequestLimitExceeded", "InternalError", "ServiceUnavailable",
    "RequestTimeout", "RequestTimeoutException", "BadDigest", "IncompleteBody", "OperationAborted",
    "NoSuchUpload",
})  # fmt: skip
GONE_CODES = frozenset(
    {"NoSuchKey", "NoSuchVersion", "PreconditionFailed", "404", "412", "MethodNotAllowed", "405"}
)
PLACE_CODES = frozenset({
    "NoSuchBucket", "InvalidBucketName", "PermanentRedirect", "301", "AuthorizationHeaderMalformed",
    "IllegalLocationConstraintException",
})  # fmt: skip
EXPIRED_CODES = frozenset({"ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "RequestExpired"})
ARCHIVED_CODE = "InvalidObjectState"
# Raised by botocore before it asks anybody: there is nothing to sign with.
CREDENTIAL_ERRORS = (
    "NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError", "ProfileNotFound",
    "TokenRetrievalError", "UnauthorizedSSOTokenError", "SSOTokenLoadError", "InvalidConfigError", "ConfigNotFound",
)  # fmt: skip
BROKEN_ANSWERS = (
    exceptions.HTTPClientError, exceptions.ConnectionError, exceptions.IncompleteReadError,
    exceptions.FlexibleChecksumError,
)  # fmt: skip
HOW_TO_LET_IN = (
    "see that the AWS credentials of this process (environment, ~/.aws, the machine's role) are valid and may"
)


class ObjectGoneError(Exception):
    """The object is not there (any more), not in this version, or archived. The text says which."""


@dataclass(frozen=True)
class StoredObject:
    """One object as it was listed. `modified_at` is aware."""

    key: str
    size_bytes: int
    modified_at: datetime
    etag: str


@dataclass(frozen=True)
class Fetched:
    """An object that was read: its SHA-256, and its version where the bucket keeps versions."""

    sha256: str
    version_id: str | None


class Bucket:
    """One bucket, asked politely.

    Every method raises AccessError (expired or refused credentials: at once), ConfigurationError (no such bucket, or
    in another region), UnavailableError (the tries are used up).

    Raises:
        ConfigurationError: when AWS's own settings cannot be used.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._client = _make_client()

    def list(self, prefix: str, *, whole_depth: bool = True) -> Iterator[StoredObject]:
        """Objects whose keys begin with the prefix, page by page, in the order of their keys.

        Args:
            whole_depth: also those with a `/` behind the prefix.
        """
        asked: dict[str, Any] = {"Bucket": self.name, "Prefix": prefix, "MaxKeys": PAGE_KEYS}
        if not whole_depth:
            asked["Delimiter"] = "/"
        while True:
            page = self._ask(
                "list", f"s3://{self.name}/{prefix}", lambda: self._client.list_objects_v2(**asked)
            )
            for found in page.get("Contents", ()):
                yield StoredObject(found["Key"], int(found["Size"]), found["LastModified"], found["ETag"])
            if not page.get("IsTruncated"):
                return
            asked["ContinuationToken"] = page["NextContinuationToken"]

    def fetch(
        self,
        key: str,
        path: Path,
        *,
        size_bytes: int | None = None,
        etag: str = "",
        version_id: str | None = None,
    ) -> Fetched:
        """Read one object into a private file, whole or not at all.

        Length and the checksums that the store knows are compared on the way; a body that is cut off or corrupted is
        read again.

        Args:
            path: of the file, which is made anew.
            size_bytes, etag, version_id: what the object must (still) be.

        Raises:
            ObjectGoneError: when it is not that any more.
        """
        asked: dict[str, Any] = {"Bucket": self.name, "Key": key, **CHECKSUM_MODE}
        if etag:
            asked["IfMatch"] = etag
        if version_id is not None:
            asked["VersionId"] = version_id

        def read() -> Fetched:
            answer = self._client.get_object(**asked)
            length = int(answer["ContentLength"])
            if size_bytes is not None and length != size_bytes:
                answer["Body"].close()
                raise ObjectGoneError("its size is not what was listed")
            hasher, taken = hashlib.sha256(), 0
            with private_file(path) as copy:
                while piece := answer["Body"].read(PIECE_BYTES):
                    copy.write(piece)
                    hasher.update(piece)
                    taken += len(piece)
            if taken != length:
                raise PassingError("its content was cut off")
            return Fetched(hasher.hexdigest(), answer.get("VersionId"))

        try:
            return self._ask("read", f"s3://{self.name}", read)
        except BaseException:
            path.unlink(missing_ok=True)
            raise

    def read(self, key: str, limit_bytes: int) -> bytes | None:
        """The content of a small object; None when it is not there, or larger than the limit."""

        def read() -> bytes | None:
            answer = self._client.get_object(Bucket=self.name, Key=key, **CHECKSUM_MODE)
            if int(answer["ContentLength"]) > limit_bytes:
                answer["Body"].close()
                return None
            return bytes(answer["Body"].read())

        try:
            return self._ask("read", f"s3://{self.name}", read)
        except ObjectGoneError:
            return None

    def write(self, key: str, path: Path) -> None:
        """Write a file as an object, encrypted with a key of KMS, in place of a former one: whole or not at all."""
        config = TransferConfig(multipart_threshold=MULTIPART_BYTES, multipart_chunksize=MULTIPART_BYTES)
        extra = {**encryption(), "ChecksumAlgorithm": "SHA256"}
        self._ask(
            "write",
            f"s3://{self.name}",
            lambda: self._client.upload_file(str(path), self.name, key, ExtraArgs=extra, Config=config),
        )

    def delete(self, key: str) -> None:
        """Remove an object, if it is there."""
        self._ask(
            "delete in", f"s3://{self.name}", lambda: self._client.delete_object(Bucket=self.name, Key=key)
        )

    def _ask(self, verb: str, place: str, request: Callable[[], T]) -> T:
        """Do a request, tried again where that can help, with its errors in our words."""

        def once() -> T:
            try:
                return request()
            except (ObjectGoneError, PassingError):
                raise
            except Exception as error:
                raise _explained(error, verb, place) from None

        return with_retries(
            once,
            doing=f"to {verb} {place}",
            remedy="see that the network and the store are up, then run again: it goes on from there",
        )


def encryption() -> dict[str, str]:
    """What every write says: encrypt with KMS, with the key of `TILLHOUSE_S3_KMS_KEY` or else the account's own."""
    key = os.environ.get(KMS_KEY_VARIABLE, "").strip()
    return {"ServerSideEncryption": "aws:kms", **({"SSEKMSKeyId": key} if key else {})}


@functools.cache
def _descriptions() -> Any:
    """AWS's descriptions of its services: read once, they make a client in a fifth of the time."""
    return create_loader()


def _make_client() -> Any:
    session = botocore.session.Session()
    session.register_component("data_loader", _descriptions())
    try:
        return boto3.session.Session(botocore_session=session).client(
            "s3",
            config=Config(
                connect_timeout=CONNECT_SECONDS,
                read_timeout=READ_SECONDS,
                retries={"mode": "standard", "total_max_attempts": 1},  # ours: see `_ask`
                user_agent_extra="tillhouse",
            ),
        )
    except (exceptions.BotoCoreError, ValueError) as error:
        raise ConfigurationError(
            f"AWS's own settings cannot be used ({type(error).__name__})",
            remedy="correct AWS_PROFILE, AWS_REGION, AWS_ENDPOINT_URL_S3 or ~/.aws/config",
            rule="credentials",
        ) from None


def _explained(error: Exception, verb: str, place: str) -> Exception:
    """The error in our words; what is no fault of S3's comes back as it is."""
    if isinstance(error, S3UploadFailedError) and isinstance(error.__context__, Exception):
        error = error.__context__
    if isinstance(error, exceptions.ClientError):
        return _of_answer(error.response, verb, place)
    kind = type(error).__name__
    if kind in CREDENTIAL_ERRORS:
        return AccessError(
            f"there are no usable AWS credentials to {verb} {place} ({kind})",
            remedy=f"{HOW_TO_LET_IN} {verb} it; `aws sts get-caller-identity` tells who we are",
            rule="credentials",
        )
    if isinstance(error, exceptions.SSLError):
        return ConfigurationError(
            f"the certificate of the server of {place} is not trusted",
            remedy="name the authority in AWS_CA_BUNDLE, or correct AWS_ENDPOINT_URL_S3",
            rule="certificate",
        )
    if isinstance(error, BROKEN_ANSWERS):
        return PassingError(f"the answer did not come whole ({kind})")
    if isinstance(error, exceptions.BotoCoreError):
        return ConfigurationError(
            f"s3 refuses to {verb} {place} before asking ({kind})",
            remedy="correct the location and AWS's own settings",
            rule="location",
        )
    return error


def _of_answer(answer: Mapping[str, Any], verb: str, place: str) -> Exception:
    code = str(answer.get("Error", {}).get("Code", ""))
    said = str(answer.get("Error", {}).get("Message", "")).lower()
    status = int(answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    if code in PASSING_CODES or status >= 500 or status == 429:
        return PassingError(f"the store answered {status} {code}")
    if code in PLACE_CODES:
        return ConfigurationError(
            f"{place} cannot be used: {code}",
            remedy="correct the location, or the region in AWS_REGION",
            rule="location",
        )
    if code == ARCHIVED_CODE:
        return ObjectGoneError("it is archived and must be restored first")
    if code in GONE_CODES:
        return ObjectGoneError("it has changed or gone since it was listed")
    if code in EXPIRED_CODES:
        return AccessError(
            f"the AWS credentials to {verb} {place} have expired ({code})",
            remedy="renew them and run again: it goes on from there",
            rule="credentials",
        )
    is_about_keys = "kms" in code.lower() or "kms" in said
    what = f"use the KMS key of {place}" if is_about_keys else f"{verb} {place}"
    return AccessError(
        f"AWS does not let us {what} ({code or status})",
        remedy=f"{HOW_TO_LET_IN} {what}",
        rule="kms" if is_about_keys else "credentials",
    )
