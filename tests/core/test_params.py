"""params: every departure from the declared section is an error that names the key."""

from typing import Annotated

import pytest
from pydantic import Field

from handwriting.core import params
from handwriting.core.errors import InputError

pytestmark = pytest.mark.usefixtures("tmp_dir")


@params.section
class Inner:
    name: str
    rates: list[float]


@params.section
class Section:
    epochs: Annotated[int, Field(ge=1)]
    inner: Inner
    limit: float | None


VALID = "a: {b: {epochs: 3, inner: {name: x, rates: [1, 0.5]}, limit: null}}"


def load(text: str) -> Section:
    params.PATH.write_text(text, encoding="utf-8")
    return params.load("a.b", Section)


def test_a_section_is_loaded_with_what_is_in_it() -> None:
    assert load(VALID) == Section(epochs=3, inner=Inner(name="x", rates=[1.0, 0.5]), limit=None)


@params.section
class Optional:
    where: str = "here"


@pytest.mark.parametrize(
    ("text", "where"), [("a: {where: there}", "there"), ("a: {}", "here"), ("b: 1", "here")]
)
def test_an_undeclared_section_may_be_left_out(text: str, where: str) -> None:
    params.PATH.write_text(text)
    assert params.undeclared("a", Optional).where == where


def test_an_undeclared_section_is_as_strict() -> None:
    params.PATH.write_text("a: {were: there}")
    with pytest.raises(InputError, match=r"^params.yaml: a.were: "):
        params.undeclared("a", Optional)


def test_a_section_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        load(VALID).epochs = 4  # type: ignore[misc]


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ("epochs: 3, ", "", "a.b.epochs: Field required"),
        ("epochs: 3", "epochs: 0", "a.b.epochs: Input should be greater than or equal to 1"),
        ("epochs: 3", "epochs: '3'", "a.b.epochs: Input should be a valid integer"),
        ("epochs: 3", "epochs: true", "a.b.epochs: Input should be a valid integer"),
        ("epochs: 3", "epochs: 3, speed: 1", "a.b.speed: Unexpected keyword argument"),
        ("name: x", "name: 1", "a.b.inner.name: Input should be a valid string"),
        ("name: x", "name: x, colour: red", "a.b.inner.colour: Unexpected keyword argument"),
        ("0.5", "fast", "a.b.inner.rates.1: Input should be a valid number"),
        ("0.5", ".nan", "a.b.inner.rates.1: "),
        ("limit: null", "limit: .inf", "a.b.limit: "),
        ("epochs: 3", "? [1, 2]\n: 3", "not YAML"),
        ("{epochs", "[epochs", "params.yaml: "),
        ("b: {", "c: {", "the key a.b is missing"),
        ("a: {", "c: {", "the key a is missing"),
        (VALID, "", "the key a is missing"),
        (VALID, "a: 3", "the key a.b is missing"),
        (VALID, "a: {b: [1]}", "a.b: "),
        (VALID, "a: {b: &b {epochs: *b}}", "a.b: "),
        (VALID, "a: {b: {2020-01-01: 1}}", "a.b: "),
        (VALID, "a: {b: !!python/object:os.system {}}", "not YAML"),
        (VALID, "a: 2020-13-01", "cannot be read"),
        pytest.param(VALID, f"a: {{b: {'[' * 3000}{']' * 3000}}}", "a.b: ", id="deep"),
        ("3, inner: {name: x", "x, inner: {name: 3", "valid integer; a.b.inner.name: "),
    ],
)
def test_an_error_names_every_key(old: str, new: str, key: str) -> None:
    assert old in VALID
    with pytest.raises(InputError) as caught:
        load(VALID.replace(old, new))
    message = str(caught.value)
    assert message.startswith("params.yaml: ")
    assert key in message
    assert "\n" not in message


def test_a_missing_file_and_one_that_is_not_text_are_named() -> None:
    with pytest.raises(InputError, match=r"params\.yaml: cannot be read"):
        params.load("a.b", Section)
    params.PATH.write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match=r"params\.yaml: cannot be read"):
        params.load("a.b", Section)


def test_a_number_alone_is_as_strict_as_one_in_a_section() -> None:
    params.PATH.write_text('a: {b: "3"}')
    with pytest.raises(InputError, match=r"a\.b: Input should be a valid integer"):
        params.load("a.b", int)


def test_a_section_that_is_another_in_the_end_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(params, "_loaded", {})
    load(VALID)
    params.PATH.write_text(f"{VALID}\nc: 1  # nobody loaded this\n")
    params.check_unchanged()
    params.PATH.write_text(VALID.replace("0.5", "0.6"))
    with pytest.raises(InputError, match=r"^params\.yaml: a\.b changed while this stage ran"):
        params.check_unchanged()


def test_a_section_that_is_another_when_loaded_again_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(params, "_loaded", {})
    load(VALID)
    load(VALID.replace("0.5", "0.6"))
    with pytest.raises(InputError, match=r"^params\.yaml: a\.b changed while this stage ran"):
        params.check_unchanged()
