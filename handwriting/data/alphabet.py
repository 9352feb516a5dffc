"""The classes, their order, and how the archives' folders name them."""

import re
import string

DIGITS = tuple(string.digits)
CHARACTERS = (*string.digits, *string.ascii_uppercase, *string.ascii_lowercase)


def character_type(character: str) -> str:
    """Return "digit", "upper" or "lower"."""
    return "digit" if character.isdigit() else "upper" if character.isupper() else "lower"


# Member paths are <root>/<class folder>/<image>. trainPart1 numbers its folders from 1 in the order
# of CHARACTERS; mnistTask3 names them by the given label.
CHARACTER_FOLDERS = {f"Sample{i:03d}": i - 1 for i in range(1, len(CHARACTERS) + 1)}
DIGIT_FOLDERS = {digit: label for label, digit in enumerate(DIGITS)}

# The file name of an image of trainPart1 is imgNNN-<writer>.png; the first group is the writer.
WRITER = re.compile(r"-(\d+)\.\w+$")
