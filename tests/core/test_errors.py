"""InputError: one line that commands no terminal, with a bounded list."""

import pytest

from handwriting.core.errors import InputError, listed, one_line, printable

COMMANDS = [
    "\x1b]0;title\x07",
    "\x9b2J",
    "\r",
    "\n",
    "\x00",
    "\u202e",
    "\u2066",
    "\u2028",
    "\udc9b",
]


@pytest.mark.parametrize("command", COMMANDS)
def test_no_command_to_a_terminal_is_in_the_text_of_an_error(command: str) -> None:
    for text in (str(InputError(f"a{command}b")), f"{InputError(command)}", printable(command)):
        assert text.isprintable()
        assert ascii(command[-1])[1:-1] in text
    assert one_line(ValueError(f"a{command}b")).isprintable()


def test_a_plain_text_stays() -> None:
    for text in ("a b.png: \u00e9\u6f22 'x' \\ ~", ""):
        assert str(InputError(text)) == printable(text) == text


def test_lists_are_cut_at_twenty_with_the_count_of_the_others() -> None:
    names = [f"p{each}" for each in range(1051)]
    assert listed(names[:20] * 2) == "; ".join(names[:20])
    assert listed(names[:21]) == "; ".join([*names[:20], "and 1 more"])
    assert listed(iter(names)).endswith("; p19; and 1,031 more")
    assert listed([]) == ""
