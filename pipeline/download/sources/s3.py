"""Objects of S3 buckets as origins. Credentials and endpoint come from the environment, as for every AWS tool."""

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
    FileVersion,
    html_error,
    http_error,
    parse_content_range,
    reject_html,
)

CHUNK_BYTES = 1 << 16
"""Small, because what came of a chunk is lost when the server falls silent in it."""

CREDENTIALS_ADVICE = (
    "Check the credentials in the environment: AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
)


def s3_sources(root: str, paths: Sequence[str], patience: RetryPolicy, advice: str) -> "list[S3Source]":
    """The objects at `paths` below `root`, which is s3://bucket or s3://bucket/prefix."""
    bucket, _, prefix = root.partition("://")[2].partition("/")
    if not bucket:
        raise BoxlineError(f"{root} names no bucket. {advice}")
    if "@" in bucket or ":" in bucket:  # as of an access key and its secret, so none of it is shown
        raise BoxlineError(f"An s3 address begins with the name of a bucket and nothing else. {CREDENTIALS_ADVICE}")
    client = _client(patience)
    return [S3Source(client, bucket, f"{prefix.strip('/')}/{path}".lstrip("/"), advice) for path in paths]


class S3Source:
    """One object. `client` is boto3's."""

    def __init__(self, client: Any, bucket: str, key: str, advice: str) -> None:
        self.shown = f"s3://{bucket}/{key}"
        self._client = client
        self._object = {"Bucket": bucket, "Key": key}
        self._advice = advice

    def look(self) -> FileVersion:
        """Size and ETag."""
        from botocore.exceptions import ClientError

        with self._explained():
            try:
                found = self._client.head_object(**self._object)
            except ClientError:  # an answer to HEAD has no body that says why
                found = self._client.get_object(**self._object)
                found["Body"].close()
            return FileVersion(found.get("ContentLength"), found.get("ETag"))

    @contextlib.contextmanager
    def open(self, offset: int, validator: str | None) -> Iterator[ByteStream]:
        """By Range and If-Match."""
        condition = {"Range": f"bytes={offset}-", "IfMatch": validator} if offset else {}
        with self._explained():
            found = self._client.get_object(**self._object, **condition)
            with contextlib.closing(found["Body"]) as body:
                start, size_bytes = 0, found.get("ContentLength")
                if "ContentRange" in found:
                    start, size_bytes = (
                        offset,
                        parse_content_range(self.shown, found["ContentRange"], size_bytes, offset),
                    )
                chunks = body.iter_chunks(CHUNK_BYTES)
                if start == 0:
                    chunks = reject_html(chunks, html_error(self.shown, self._advice))
                yield ByteStream(FileVersion(size_bytes, found.get("ETag")), start, chunks)

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        """Boto3's errors as PassingErrors and BoxlineErrors."""
        from botocore import exceptions

        try:
            yield
        except exceptions.ClientError as error:
            raise self._refusal(error) from None
        except exceptions.FlexibleChecksumError:
            raise ChangedError(f"{self.shown} arrived damaged", NETWORK_ADVICE) from None
        except (exceptions.HTTPClientError, exceptions.ConnectionError, exceptions.IncompleteReadError) as error:
            raise TransientError(f"{self.shown} could not be read: {_reason(error)}", NETWORK_ADVICE) from None
        except (exceptions.NoCredentialsError, exceptions.PartialCredentialsError) as error:
            raise BoxlineError(f"{self.shown} could not be read: {_reason(error)}. {CREDENTIALS_ADVICE}") from None
        except exceptions.BotoCoreError as error:
            raise BoxlineError(f"{self.shown} could not be read: {_reason(error)}. {self._advice}") from None

    def _refusal(self, error: Any) -> Exception:
        facts = error.response["ResponseMetadata"]
        status, reason = facts["HTTPStatusCode"], error.response["Error"].get("Code", "")
        if status in (412, 416):
            return ChangedError(f"{self.shown} changed while it was downloaded", NETWORK_ADVICE)
        advice = CREDENTIALS_ADVICE if status in (400, 401, 403) else self._advice
        return http_error(self.shown, status, reason, advice, facts["HTTPHeaders"].get("retry-after"))


def _reason(error: Exception) -> str:
    return " ".join(redact_message(error).split()).rstrip(".")


def _client(patience: RetryPolicy) -> Any:
    """Tries once: what is worth another try is decided for all origins alike."""
    import boto3  # takes a tenth of a second, which only those pay who need it
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError

    logging.getLogger("botocore").setLevel(logging.WARNING)  # it tells where it found credentials, each time
    config = Config(
        connect_timeout=patience.connect_seconds,
        read_timeout=patience.read_timeout_seconds,
        retries={"total_max_attempts": 1},
    )
    try:
        return boto3.Session().client("s3", config=config)
    except (BotoCoreError, ValueError) as error:  # the second for an endpoint that is no address
        raise BoxlineError(f"S3 cannot be asked: {_reason(error)}. {CREDENTIALS_ADVICE}") from None
