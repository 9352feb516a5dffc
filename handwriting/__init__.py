"""Handwritten characters and digits: `Classifier` answers what an image shows."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from handwriting.classifier import Classifier as Classifier

__all__ = ["Classifier"]


def __getattr__(name: str) -> Any:
    """Import the classifier, and torch with it, when it is first used."""
    if name == "Classifier":
        from handwriting.classifier import Classifier

        return Classifier
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
