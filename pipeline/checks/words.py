"""Numbers in words, as all reports write them."""


def counted(number: int, one: str, many: str) -> str:
    """A number with its noun.

    >>> counted(1, "box", "boxes"), counted(21360, "box", "boxes")
    ('1 box', '21,360 boxes')
    """
    return f"{number:,} {one if number == 1 else many}"


def percent(share: float) -> str:
    """A share as people read it, to three digits.

    >>> percent(0.25), percent(0.000412), percent(0.0)
    ('25 %', '0.0412 %', '0 %')
    """
    return f"{100 * share:.3g} %"


def printable(text: str) -> str:
    r"""Text on one line: what a file is called must not begin a new one, which could pass for a line of ours.

    >>> printable("café\n::error::x\x1b[31m")
    'café\\n::error::x\\x1b[31m'
    """
    return "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in text)
