"""Test ids that do not contain archives, whose bytes may depend on the time."""


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    return argname if isinstance(val, bytes) else None
