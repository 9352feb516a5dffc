"""Handwritten characters and digits.

`Classifier` answers what an image shows, `diagnose` which labels of many images are wrong.
"""

from typing import TYPE_CHECKING, Any

from handwriting.core.errors import InputError

if TYPE_CHECKING:
    from handwriting.classifier import Classifier as Classifier
    from handwriting.labels import diagnose as diagnose

__all__ = ["Classifier", "InputError", "diagnose"]


def __getattr__(name: str) -> Any:
    """Import what is asked for, and what it needs, when it is first used."""
    if name == "Classifier":
        from handwriting.classifier import Classifier

        return Classifier
    if name == "diagnose":
        from handwriting.labels import diagnose

        return diagnose
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
