"""The one exception whose message is meant for the user, and the messages of others."""


class InputError(Exception):
    """Something the user can put right: one line that names the file, key or URL."""


def one_line(error: BaseException) -> str:
    """Return the message of an error in one line, or its type if it has none."""
    return " ".join(str(error).split()) or type(error).__name__
