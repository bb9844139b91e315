"""Objects of S3 buckets. Credentials and endpoint come from the environment, as for every AWS tool."""

import contextlib
import logging
from collections.abc import Iterator, Sequence
from typing import Any

from pipeline.core.errors import BoxlineError
from pipeline.core.redaction import redact_message
from pipeline.download.retry import RetryPolicy, TransientError
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
    bucket, _, prefix = base_url.partition("://")[2].partition("/")
    if not bucket:
        raise BoxlineError(f"{base_url} has no bucket name. {advice}")
    if "@" in bucket or ":" in bucket:  # probably an access key and its secret, so the message shows none of it
        raise BoxlineError(f"An s3:// URL starts with the name of a bucket and nothing else. {CREDENTIALS_ADVICE}")
    client = _create_client(retry_policy)
    return [S3Source(client, bucket, f"{prefix.strip('/')}/{path}".lstrip("/"), advice) for path in paths]


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

        with self._as_boxline_errors():
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
        with self._as_boxline_errors():
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

    @contextlib.contextmanager
    def _as_boxline_errors(self) -> Iterator[None]:
        """Convert the errors of boto3 to TransientError and BoxlineError."""
        from botocore import exceptions

        try:
            yield
        except exceptions.ClientError as error:
            raise self._http_error(error) from None
        except exceptions.FlexibleChecksumError:
            raise ChangedError(f"{self.display_name} does not match its checksum", NETWORK_ADVICE) from None
        except (exceptions.HTTPClientError, exceptions.ConnectionError, exceptions.IncompleteReadError) as error:
            raise TransientError(f"{self.display_name} could not be read: {_reason(error)}", NETWORK_ADVICE) from None
        except (exceptions.NoCredentialsError, exceptions.PartialCredentialsError) as error:
            raise BoxlineError(
                f"{self.display_name} could not be read: {_reason(error)}. {CREDENTIALS_ADVICE}"
            ) from None
        except exceptions.BotoCoreError as error:
            raise BoxlineError(f"{self.display_name} could not be read: {_reason(error)}. {self._advice}") from None

    def _http_error(self, error: Any) -> Exception:
        metadata = error.response["ResponseMetadata"]
        status, reason = metadata["HTTPStatusCode"], error.response["Error"].get("Code", "")
        if status in (412, 416):
            return ChangedError(f"{self.display_name} changed during the download", NETWORK_ADVICE)
        advice = CREDENTIALS_ADVICE if status in (400, 401, 403) else self._advice
        return http_error(self.display_name, status, reason, advice, metadata["HTTPHeaders"].get("retry-after"))


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
