"""The classes, their order, and how the archives' folders name them."""

import re
import string

DIGITS = tuple(string.digits)
CHARACTERS = (*string.digits, *string.ascii_uppercase, *string.ascii_lowercase)


def character_type(name: str) -> str:
    """Return "digit", "upper", "lower", or, of the class of anything else, "other"."""
    found = ("digit", name.isdigit()), ("upper", name.isupper()), ("lower", name.islower())
    return next((each for each, is_one in found if is_one and len(name) == 1), "other")


# Member paths are <root>/<class folder>/<image>. trainPart1 numbers its folders from 1 in the order
# of CHARACTERS; all others name them by the class.
CHARACTER_FOLDERS = {f"Sample{i:03d}": i - 1 for i in range(1, len(CHARACTERS) + 1)}

# The file name of an image of trainPart1 is imgNNN-<writer>.png; the first group is the writer.
WRITER = re.compile(r"-(\d+)\.\w+$")
