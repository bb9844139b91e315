"""Objects of S3 buckets. Credentials and endpoint come from the environment, as for every AWS tool."""

import contextlib
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from pipeline.archives.folder_files import is_hidden
from pipeline.archives.left_out import LeftOutFiles
from pipeline.archives.member_lookup import nearest_name
from pipeline.core.errors import BoxlineError
from pipeline.core.redaction import redact_message
from pipeline.download.retry import RetryPolicy, TransientError, retry
from pipeline.download.sources.base import (
    NETWORK_ADVICE,
    ByteStream,
    ChangedError,
    FileSource,
    FileVersion,
    html_error,
    http_error,
    parse_content_range,
    reject_html,
)

CHUNK_BYTES = 1 << 16
"""Smaller than that of other sources: if a read times out, boto3 loses the bytes of the chunk received so far."""

CREDENTIALS_ADVICE = (
    "Check the credentials in the environment: AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
)


def s3_sources(base_url: str, paths: Sequence[str], retry_policy: RetryPolicy, advice: str) -> "list[S3Source]":
    """Return the sources of the objects at `paths` below `base_url`, which is s3://bucket or s3://bucket/prefix."""
    bucket, prefix = _parse(base_url, advice)
    client = _create_client(retry_policy)
    return [S3Source(client, bucket, f"{prefix}/{path}".lstrip("/"), advice) for path in paths]


class S3Source(FileSource):
    """One object of a bucket; `client` is a boto3 S3 client."""

    def __init__(self, client: Any, bucket: str, key: str, advice: str) -> None:
        self.display_name = f"s3://{bucket}/{key}"
        self._client = client
        self._object = {"Bucket": bucket, "Key": key}
        self._advice = advice

    def stat(self) -> FileVersion:
        """Return the version, with the ETag as validator."""
        from botocore.exceptions import ClientError

        with _as_boxline_errors(self.display_name, self._advice):
            try:
                response = self._client.head_object(**self._object)
            except ClientError:  # a response to HEAD has no body with the reason
                response = self._client.get_object(**self._object)
                response["Body"].close()
            return FileVersion(response.get("ContentLength"), response.get("ETag"))

    @contextlib.contextmanager
    def open(self, offset: int, validator: str | None) -> Iterator[ByteStream]:
        """Stream the object with Range and If-Match."""
        condition = {"Range": f"bytes={offset}-", "IfMatch": validator} if offset else {}
        with _as_boxline_errors(self.display_name, self._advice):
            response = self._client.get_object(**self._object, **condition)
            with contextlib.closing(response["Body"]) as body:
                start, size_bytes = 0, response.get("ContentLength")
                if "ContentRange" in response:
                    start = offset
                    size_bytes = parse_content_range(self.display_name, response["ContentRange"], size_bytes, offset)
                chunks = body.iter_chunks(CHUNK_BYTES)
                if start == 0:
                    chunks = reject_html(chunks, html_error(self.display_name, self._advice))
                yield ByteStream(FileVersion(size_bytes, response.get("ETag")), start, chunks)


@dataclass(frozen=True)
class ListedObject:
    """An object as the list of a bucket states it.

    Attributes:
        name: its name below the listed prefix.
        source: the object.
        size_bytes: its size.
        validator: its ETag.

    """

    name: str
    source: S3Source
    size_bytes: int
    validator: str


def list_objects(address: str, retry_policy: RetryPolicy, advice: str) -> list[ListedObject]:
    """List the objects below `address`, which is s3://bucket or s3://bucket/prefix.

    Hidden objects and the placeholders of folders are left out silently, and names that are no relative paths with a
    warning.

    Raises:
        BoxlineError: if there are none, or the bucket cannot be read.

    """
    bucket, prefix = _parse(address, advice)
    client = _create_client(retry_policy)
    folder = f"{prefix}/" if prefix else ""

    def list_page(token: str | None, **options: str) -> Any:
        with _as_boxline_errors(address, advice):
            arguments = {"Bucket": bucket, **options, **({"ContinuationToken": token} if token else {})}
            return client.list_objects_v2(**arguments)

    def pages(**options: str) -> Iterator[Any]:
        token = None
        while True:
            page = retry(partial(list_page, token, **options), retry_policy)
            yield page
            token = page.get("NextContinuationToken")
            if not token:
                return

    objects = []
    with LeftOutFiles(address) as left_out:
        for page in pages(Prefix=folder):
            for entry in page.get("Contents", ()):
                name = entry["Key"][len(folder) :]
                if not name or name.endswith("/"):
                    continue
                if {"", ".", ".."} & set(name.split("/")):
                    left_out.add(f"s3://{bucket}/{entry['Key']} has a name that is no relative path.")
                elif not is_hidden(name):
                    source = S3Source(client, bucket, entry["Key"], advice)
                    objects.append(ListedObject(name, source, entry["Size"], entry["ETag"]))
    if not objects:
        parent, _, missing = prefix.rpartition("/")
        parent = f"{parent}/" if parent else ""
        entries = [entry for page in pages(Prefix=parent, Delimiter="/") for entry in page.get("CommonPrefixes", ())]
        nearest = nearest_name(missing, [entry["Prefix"][len(parent) :].rstrip("/") for entry in entries])
        hint = f"; did you mean s3://{bucket}/{parent}{nearest}?" if nearest else "."
        raise BoxlineError(f"{address} has no objects{hint} {advice}")
    return objects


def _parse(address: str, advice: str) -> tuple[str, str]:
    """The bucket of an address, and its prefix without slashes around it."""
    bucket, _, prefix = address.partition("://")[2].partition("/")
    if not bucket:
        raise BoxlineError(f"{address} has no bucket name. {advice}")
    if "@" in bucket or ":" in bucket:  # probably an access key and its secret, so the message shows none of it
        raise BoxlineError(f"An s3:// URL starts with the name of a bucket and nothing else. {CREDENTIALS_ADVICE}")
    return bucket, prefix.strip("/")


@contextlib.contextmanager
def _as_boxline_errors(display_name: str, advice: str) -> Iterator[None]:
    """Convert the errors of boto3 to TransientError and BoxlineError."""
    from botocore import exceptions

    try:
        yield
    except exceptions.ClientError as error:
        raise _http_error(display_name, advice, error) from None
    except exceptions.FlexibleChecksumError:
        raise ChangedError(f"{display_name} does not match its checksum", NETWORK_ADVICE) from None
    except (exceptions.HTTPClientError, exceptions.ConnectionError, exceptions.IncompleteReadError) as error:
        raise TransientError(f"{display_name} could not be read: {_reason(error)}", NETWORK_ADVICE) from None
    except (exceptions.NoCredentialsError, exceptions.PartialCredentialsError) as error:
        raise BoxlineError(f"{display_name} could not be read: {_reason(error)}. {CREDENTIALS_ADVICE}") from None
    except exceptions.BotoCoreError as error:
        raise BoxlineError(f"{display_name} could not be read: {_reason(error)}. {advice}") from None


def _http_error(display_name: str, advice: str, error: Any) -> Exception:
    metadata = error.response["ResponseMetadata"]
    status, reason = metadata["HTTPStatusCode"], error.response["Error"].get("Code", "")
    if status in (412, 416):
        return ChangedError(f"{display_name} changed during the download", NETWORK_ADVICE)
    advice = CREDENTIALS_ADVICE if status in (400, 401, 403) else advice
    return http_error(display_name, status, reason, advice, metadata["HTTPHeaders"].get("retry-after"))


def _reason(error: Exception) -> str:
    return " ".join(redact_message(error).split()).rstrip(".")


def _create_client(retry_policy: RetryPolicy) -> Any:
    """A client without retries of its own: `pipeline.download.retry` decides about them for all sources alike."""
    import boto3  # imported here because the import takes 0.1 s, which only S3 sources should pay
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError

    logging.getLogger("botocore").setLevel(logging.WARNING)  # each client logs where it found credentials
    config = Config(
        connect_timeout=retry_policy.connect_timeout_seconds,
        read_timeout=retry_policy.read_timeout_seconds,
        retries={"total_max_attempts": 1},
    )
    try:
        return boto3.Session().client("s3", config=config)
    except (BotoCoreError, ValueError) as error:  # ValueError for an endpoint that is not a URL
        raise BoxlineError(f"The S3 client could not be created: {_reason(error)}. {CREDENTIALS_ADVICE}") from None
