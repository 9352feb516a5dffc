"""The classes, their order, and how the archives' folders name them."""

import re
import string

DIGITS = tuple(string.digits)
CHARACTERS = (*string.digits, *string.ascii_uppercase, *string.ascii_lowercase)
TWINS = ("0Oo", "1Il", "Cc", "Kk", "Pp", "Ss", "Uu", "Vv", "Ww", "Xx", "Zz")  # taken for each other


def kind(character: str) -> str:
    """What a class is: "digit", "capital" or "small"."""
    return "digit" if character.isdigit() else "capital" if character.isupper() else "small"


# Member paths are <root>/<class folder>/<image>. trainPart1 numbers its folders from 1 in the order
# of CHARACTERS; mnistTask3 names them by the label it gives.
CHARACTER_FOLDERS = {f"Sample{i:03d}": i - 1 for i in range(1, len(CHARACTERS) + 1)}
DIGIT_FOLDERS = {digit: label for label, digit in enumerate(DIGITS)}

# What an image of trainPart1 is called: imgNNN-<writer>.png. The first group is the writer.
WRITER = re.compile(r"-(\d+)\.\w+$")
