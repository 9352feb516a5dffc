"""What the user is told: the one exception that is meant for them, and texts safe to print."""

import textwrap
from collections.abc import Iterable

_LISTED = 20  # problems that an error lists


class InputError(Exception):
    """Something the user can put right: one line that names the file, key or URL."""

    def __str__(self) -> str:
        return printable(super().__str__())


def printable(text: object) -> str:
    """Return a text in which no character commands the terminal: `\\x1b` instead of an escape."""
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in str(text))


def say(text: str) -> None:
    """Print a result of a stage, indented below its title, in lines of 80 columns."""
    lines = textwrap.wrap(printable(text), 78, break_long_words=False, break_on_hyphens=False)
    print(textwrap.indent("\n".join(lines), "  "), flush=True)


def one_line(error: BaseException) -> str:
    """Return the message of an error in one line, or its type if it has none."""
    return printable(" ".join(str(error).split())) or type(error).__name__


def listed(problems: Iterable[str]) -> str:
    """Return problems in one line, each once, at most 20 and the count of the others."""
    each = list(dict.fromkeys(problems))
    more = [f"and {len(each) - _LISTED:,} more"] if len(each) > _LISTED else []
    return "; ".join(each[:_LISTED] + more)
