"""params.yaml, read strictly into frozen pydantic dataclasses."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, dataclass_transform

import yaml
from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from handwriting.core.errors import InputError, one_line

PATH = Path("params.yaml")
T = TypeVar("T")
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml's, where there is one
_loaded: dict[str, object] = {}  # sections, by name, as they were first read


@dataclass_transform(kw_only_default=True, frozen_default=True)
def section(cls: type[T]) -> type[T]:
    """Make a class a section of params.yaml: frozen, no unknown keys, no conversions."""
    config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)
    # The same class comes back; pydantic only types it as its own protocol.
    return dataclass(frozen=True, kw_only=True, config=config)(cls)  # type: ignore[return-value]


def load(name: str, cls: type[T]) -> T:
    """Return the section `name` ("sample.images.mnist") of params.yaml as a `cls`.

    Raises InputError naming every key that is missing, unknown, mistyped or out of range.
    """
    value = _section(name)
    found = _checked(name, value, cls)
    _loaded.setdefault(name, value)  # what a second load finds may be an edit
    return found


def undeclared(name: str, cls: type[T]) -> T:
    """Return a section that decides no result, so that no stage declares it, as load() does.

    What is not there has the defaults of `cls`.
    """
    content = _content() if PATH.exists() else None
    return _checked(name, content.get(name, {}) if isinstance(content, dict) else {}, cls)


def check_unchanged() -> None:
    """Raise InputError if a section is not what load() read: DVC would record what it is now."""
    for name, value in _loaded.items():
        if _section(name) != value:
            raise InputError(f"{PATH}: {name} changed while this stage ran: run it again")


def _content() -> object:
    try:
        return parse(PATH.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:  # not text, or a date that the calendar lacks
        raise InputError(f"{PATH}: cannot be read: {error}") from None
    except yaml.YAMLError as error:
        raise InputError(f"{PATH}: not YAML: {one_line(error)}") from None


def _section(name: str) -> object:
    value = _content()
    for depth, key in enumerate(keys := name.split(".")):
        if not isinstance(value, dict) or key not in value:
            raise InputError(f"{PATH}: the key {'.'.join(keys[: depth + 1])} is missing")
        value = value[key]
    return value


@cache
def parse(text: str) -> Any:
    """Return the content of a YAML file."""
    return yaml.load(text, _LOADER)  # noqa: S506 - either is safe


def changed(value: T, changes: Mapping[str, Any], name: str) -> T:
    """Return a section with some keys replaced; `name` is where params.yaml says so.

    Raises InputError as load() does.
    """
    return _checked(name, asdict(value) | dict(changes), type(value))  # type: ignore[call-overload]


def _checked(name: str, value: object, cls: type[T]) -> T:
    try:
        # As JSON, whose strict mode takes mappings for dataclasses and lists for tuples.
        return TypeAdapter(cls).validate_json(json.dumps(value, default=str), strict=True)
    except ValidationError as error:
        problems = [f"{'.'.join([name, *map(str, e['loc'])])}: {e['msg']}" for e in error.errors()]
        raise InputError(f"{PATH}: {'; '.join(problems)}") from None
    except (TypeError, ValueError, RecursionError) as error:  # a key that is no text, a cycle
        raise InputError(f"{PATH}: {name}: {error}") from None
