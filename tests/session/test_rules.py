"""Rules come from arguments or a TOML file, are checked, and match entity paths."""

from __future__ import annotations

from pathlib import Path

import pytest

import rerun_mp as rr
from rerun_mp.session.rules import VARIABLE, rules_of, values_of


@pytest.mark.parametrize(
    ("pattern", "path", "matches"),
    [
        ("camera", "/camera", True),
        ("camera", "/camera/left", False),
        ("/camera/**", "camera", True),
        ("camera/**", "/camera/left/depth", True),
        ("camera/**", "/cameras", False),
        ("/**", "/anything/at/all", True),
    ],
)
def test_a_rule_matches_an_entity_or_all_below_it(pattern: str, path: str, matches: bool) -> None:
    assert rr.Rule(path=pattern).matches(path) is matches


def test_rules_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "rules.toml"
    path.write_text('[[rule]]\npath = "camera/**"\nmax_hz = 5\njpeg = 75\n\n[[rule]]\npath = "debug/**"\noff = true\n')
    rules = rr.load_rules(path)
    assert rules == [rr.Rule(path="camera/**", max_hz=5, jpeg=75), rr.Rule(path="debug/**", off=True)]
    assert values_of(None) == ()
    monkeypatch.setenv(VARIABLE, str(path))
    assert list(rules_of(values_of(None))) == rules
    assert values_of(()) == ()
    assert rr.GrpcSink(rules=rules).spec(None).rules == rr.GrpcSink().spec(None).rules == values_of(rules)


@pytest.mark.parametrize("content", ["[[rule]]\npath = 3", "[[rule]]\nevry = 3", "rule = 1", "[[rule", "x = 1"])
def test_a_wrong_file_is_an_error_that_names_it(content: str, tmp_path: Path) -> None:
    path = tmp_path / "rules.toml"
    path.write_text(content)
    with pytest.raises(rr.InvalidArgumentError, match=r"rules\.toml|rule's path"):
        rr.load_rules(path)
    with pytest.raises(rr.ResourceError, match="cannot be read: No such file"):
        rr.load_rules(tmp_path / "missing.toml")


@pytest.mark.parametrize("wrong", [{"every": 0}, {"sample": 1.5}, {"max_hz": 0}, {"jpeg": 96}, {"max_side": "big"}])
def test_a_value_out_of_its_bounds_is_an_error(wrong: dict[str, object]) -> None:
    with pytest.raises(rr.InvalidArgumentError, match=next(iter(wrong))):
        rr.Rule(path="a", **wrong)  # type: ignore[arg-type]
