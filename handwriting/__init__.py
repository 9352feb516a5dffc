"""Handwritten characters and digits: `Classifier` answers what an image shows."""

from typing import TYPE_CHECKING, Any

from handwriting.core.errors import InputError

if TYPE_CHECKING:
    from handwriting.classifier import Classifier as Classifier

__all__ = ["Classifier", "InputError"]


def __getattr__(name: str) -> Any:
    """Import the classifier, and what it needs, when it is first used."""
    if name == "Classifier":
        from handwriting.classifier import Classifier

        return Classifier
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
