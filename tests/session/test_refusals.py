"""A refusal of the system becomes an error that names what failed and what to do; our own errors pass."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rerun_mp.errors import FlushTimeoutError, PrivacyError, ResourceError
from rerun_mp.session.refusals import as_resource_error


def test_a_refusal_names_what_failed(tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    with (
        pytest.raises(ResourceError, match=r"No such file or directory .*missing.*has removed it"),
        as_resource_error("the file cannot be had"),
    ):
        os.open(missing, os.O_RDONLY)


@pytest.mark.parametrize("error", [PrivacyError("not ours"), FlushTimeoutError("too slow"), ValueError("wrong")])
def test_other_errors_pass(error: Exception) -> None:
    with pytest.raises(type(error), match=f"^{error}$"), as_resource_error("nothing"):
        raise error
