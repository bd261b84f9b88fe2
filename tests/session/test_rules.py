"""Rules come from arguments or a TOML file, are checked, and match entity paths."""

from __future__ import annotations

from pathlib import Path

import pytest

import rerun_mp as rr
from rerun_mp.session.rules import VARIABLE, rules_of, values_of
from tests.harness.programs import ROOT


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


def test_a_file_of_rules_names_the_files_that_a_rule_is_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "rules.toml"
    path.write_text(
        '[[rule]]\npath = "a"\njpeg = 75\n\n[[rule]]\nfile = "small*.rrd"\npath = "b"\nevery = 3\n\n'
        f'[[rule]]\nfile = "{tmp_path}/*"\npath = "c"\noff = true\n'
    )
    third, inside = rr.Rule(path="b", every=3), rr.Rule(path="c", off=True)
    assert rr.load_rules(path) == [rr.Rule(path="a", jpeg=75)]
    assert rr.load_rules(path, "/elsewhere/small-1.rrd") == [third]
    assert rr.load_rules(path, tmp_path / "small.rrd") == [third, inside]
    assert rr.load_rules(path, "/elsewhere/run.rrd") == []
    monkeypatch.setenv(VARIABLE, str(path))
    assert list(rules_of(rr.FileSink(tmp_path / "run.rrd").spec(None).rules)) == [inside]
    assert rr.FileSink(tmp_path / "run.rrd", rules=()).spec(None).rules == ()


def test_the_pages_file_of_rules_is_one(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "rules.md").read_text()
    path = tmp_path / "rules.toml"
    path.write_text(page.partition("```toml\n")[2].partition("```")[0])
    assert rr.load_rules(path) == [rr.Rule(path="camera/**", max_hz=5, jpeg=75)]
    assert rr.load_rules(path, "small-7.rrd") == [rr.Rule(path="camera/**", off=True)]


def test_a_rule_that_changes_images_is_no_rule_for_a_file(tmp_path: Path) -> None:
    with pytest.raises(rr.InvalidArgumentError, match="a file keeps images as they were logged"):
        rr.FileSink(tmp_path / "run.rrd", rules=[rr.Rule(path="camera", jpeg=75)])
