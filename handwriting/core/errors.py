"""The one exception whose message is meant for the user."""


class InputError(Exception):
    """Something the user can put right: one line that names the file, key or URL."""
