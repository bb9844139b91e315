"""XML from outside: parsed without document types, which define entities, in any usual encoding."""

import re
import xml.etree.ElementTree as ET

from pipeline.archives.file_tree import FileTree
from pipeline.core.errors import BoxlineError

DECLARED_ENCODING = re.compile(rb"""\s*<\?xml[^>]{0,100}?encoding\s*=\s*["']([A-Za-z0-9._-]+)""")
DECODERS = {
    "big5": "big5hkscs",
    "euc-jp": "euc_jp",
    "euc-kr": "cp949",
    "gb18030": "gb18030",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "shift_jis": "cp932",
    "utf-16": "utf-8",
}
"""Encodings that the parser does not have, and Python's decoders of them.

Files in UTF-16 that declare it are parsed at the first try. .NET also declares it in texts that it saves as UTF-8.
"""

COMMENT = re.compile(rb"<!--.*?(?:-->|\Z)", re.DOTALL)
START_TAG = re.compile(rb"<([^\s<>/?!]+)")

HEAD_BYTES = 4096
"""Enough to hold the first tag of almost every file."""


def parse_xml(content: bytes) -> ET.Element:
    """Parse a whole file.

    Returns:
        The root element.

    Raises:
        BoxlineError: if the file has a document type or is not XML. The message states what was received, without the
            name of the file.

    """
    # UTF-16 has these characters with zeros between them, and the parser knows no other encoding that writes them
    # differently.
    if b"<!DOCTYPE" in content.replace(b"\0", b""):
        raise BoxlineError("received a document type (<!DOCTYPE ...>), expected XML without one")
    try:
        try:
            return ET.fromstring(content)
        except (ET.ParseError, ValueError, LookupError):
            declared = DECLARED_ENCODING.match(content)
            decoder = DECODERS.get(declared[1].decode().lower()) if declared else None
            if decoder is None:
                raise
            return ET.fromstring(content.decode(decoder))
    except (ET.ParseError, ValueError, LookupError) as error:
        raise BoxlineError(f"received a file that is not XML ({error})") from None


def root_tag(tree: FileTree, file: str) -> str:
    """The name of the root element by the beginning of a file, or empty text if it cannot be read."""
    try:
        head = tree.read_head(file, HEAD_BYTES)
    except BoxlineError:
        return ""
    tag = START_TAG.search(COMMENT.sub(b"", head.replace(b"\0", b"")))
    return tag[1].decode(errors="replace") if tag else ""
