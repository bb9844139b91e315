"""Removes secrets from addresses and error messages."""

import re
from urllib.parse import SplitResult, urlsplit

from pipeline.core.errors import BoxlineError


def split_address(address: str) -> SplitResult:
    """Split an address into its parts.

    Raises:
        BoxlineError: if it is malformed. The message shows nothing of the address but its scheme.

    """
    try:
        parts = urlsplit(address)
        _ = parts.port
    except ValueError:  # its message may quote half a password
        raise BoxlineError(
            f"The address that begins with {address.partition('://')[0]}:// cannot be read. "
            "Correct its port, or percent-encode special characters of user name and password, such as %2F for a slash."
        ) from None
    return parts


def redact_url(address: str) -> str:
    """Remove user, password, query and fragment of an address; a path stays as it is.

    >>> redact_url("https://me:secret@example.org:8443/coco/a.zip?token=abc")
    'https://example.org:8443/coco/a.zip'
    """
    if "://" not in address:
        return address
    parts = split_address(address)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def redact_message(error: BaseException | str) -> str:
    """Remove user, password and query of every address in an error message.

    >>> redact_message(ValueError("Failed to parse: http://me:secret@host/a?token=abc"))
    'Failed to parse: http://host/a'
    """
    text = re.sub(r"(?<=://)[^\s/'\"]*@|[?][^\s'\"]*", "", str(error))
    return text or type(error).__name__
