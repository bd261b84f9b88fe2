"""One root for all errors; each is also the built-in error that callers of rerun expect."""

from __future__ import annotations

import pytest

import rerun_mp
from rerun_mp import errors

ERRORS = {name: getattr(errors, name) for name in errors.__all__}
ROOTLESS = {"WrongKindError"}
"""Not public: users catch it as one of two built-in errors."""


def test_all_errors_have_one_root_which_is_the_error_of_reruns_native_code() -> None:
    assert {name for name, error in ERRORS.items() if not issubclass(error, errors.RerunMpError)} == ROOTLESS
    assert issubclass(errors.RerunMpError, RuntimeError)


@pytest.mark.parametrize(
    ("error", "builtin"),
    [
        (errors.InvalidArgumentError, ValueError),
        (errors.ResourceError, OSError),
        (errors.FlushTimeoutError, TimeoutError),
        (errors.WrongKindError, TypeError),
        (errors.WrongKindError, AttributeError),
    ],
)
def test_errors_can_be_caught_as_the_builtin_ones(error: type[Exception], builtin: type[Exception]) -> None:
    with pytest.raises(builtin, match="what happened"):
        raise error("what happened")


def test_every_error_is_public_and_documented() -> None:
    for name, error in ERRORS.items():
        assert name in ROOTLESS or getattr(rerun_mp, name) is error
        assert (error.__doc__ or "").endswith((".", ".\n    "))
