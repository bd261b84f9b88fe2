"""Rules by entity path: which rows a sink holds back, and how images are made smaller for a live sink.

A sink's configuration carries the rules as values; the collector applies them (`collector.rules`). A process that sets
no rules pays nothing. Any process and thread may call.
"""

from __future__ import annotations

import os
from dataclasses import astuple, dataclass, fields
from typing import TYPE_CHECKING, Any

from rerun_mp.errors import InvalidArgumentError, ResourceError

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["VARIABLE", "Rule", "RuleValues", "file_values_of", "load_rules", "rules_of", "values_of"]

VARIABLE = "RERUN_MP_RULES"
"""Environment variable with the path of a TOML file: the rules of all sinks for which the program gives none."""
SUBTREE = "/**"

RuleValues = tuple[Any, ...]
"""The fields of a rule in their order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What a sink holds back of some entities, and how a live sink gets their images.

    The first rule that matches an entity counts. Conditions are combined: a row must fulfil each. Static rows are held
    back by `off` only, and rows of the recording itself (`__properties`) never.

    Parameters
    ----------
    path
        An entity path, or one with `/**` at its end: the entity and all below it. `/**` alone matches all.
    off
        Hold all rows back.
    every
        Send each n-th row of an entity, beginning with the first.
    sample
        Send this share of the rows, from 0 to 1, chosen by their row ids.
    max_hz
        Send at most this many rows of an entity per second of their time.
    max_side
        Scale images down so that no side has more pixels. Points and boxes in pixels of the original do not fit then.
        For live sinks only, as `jpeg`.
    jpeg
        Send images as JPEG of this quality, from 1 to 95.

    Raises
    ------
    InvalidArgumentError
        If a value is none of these.
    ResourceError
        If images are to be changed and Pillow is not installed.

    Examples
    --------
    >>> Rule(path="camera/**", max_hz=5, jpeg=75).matches("/camera/left")
    True
    """

    path: str
    off: bool = False
    every: int | None = None
    sample: float | None = None
    max_hz: float | None = None
    max_side: int | None = None
    jpeg: int | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.path, str) or not self.path:
            raise InvalidArgumentError(f"a rule's path is {self.path!r}; give an entity path, such as 'camera/**'")
        bounds = {"every": (int, 1, 1 << 62), "max_side": (int, 1, 1 << 31), "jpeg": (int, 1, 95)}
        limits: dict[str, tuple[Any, float, float]] = {
            **bounds,
            "sample": (int | float, 0, 1),
            "max_hz": (int | float, 1e-6, 1e9),
        }
        for name, (kind, minimum, maximum) in limits.items():
            value = getattr(self, name)
            if value is not None and (not isinstance(value, kind) or not minimum <= value <= maximum):
                raise InvalidArgumentError(
                    f"rule {self.path!r}: {name}={value!r} is no number from {minimum} to {maximum:g}"
                )
        if self.changes_images:
            from importlib.util import find_spec

            if find_spec("PIL") is None:
                raise ResourceError(f"rule {self.path!r} changes images, which needs Pillow: pip install pillow")

    @property
    def changes_images(self) -> bool:
        """Whether the sink gets images in another form."""
        return self.max_side is not None or self.jpeg is not None

    def matches(self, entity_path: str) -> bool:
        """Say whether the rule is for an entity."""
        path, wanted = "/" + entity_path.strip("/"), "/" + self.path.strip("/")
        if wanted.endswith(SUBTREE):
            top = wanted.removesuffix(SUBTREE)
            return path == top or path.startswith(top + "/")
        return path == wanted


def load_rules(path: str | os.PathLike[str], file: str | os.PathLike[str] | None = None) -> list[Rule]:
    """Return the rules of a TOML file. Each is a table `[[rule]]` with the arguments of `Rule` as keys.

    A table with the key `file` is for the files that this key names. All others are for live sinks.

    Parameters
    ----------
    path
        The TOML file.
    file
        Path of a recording's file. Returns the rules whose key `file` is its name or its absolute path; `*` stands for
        any characters there. None: returns the rules for live sinks.

    Raises
    ------
    InvalidArgumentError
        If the file is no such file.
    ResourceError
        If it cannot be read.

    Examples
    --------
    >>> load_rules("rules.toml")  # doctest: +SKIP
    >>> load_rules("rules.toml", "run.rrd")  # doctest: +SKIP
    """
    import tomllib

    try:
        with open(path, "rb") as source:
            content = tomllib.load(source)
        named = [(one.pop("file", None), Rule(**one)) for one in content["rule"]]
        return [rule for pattern, rule in named if _is_for(pattern, file)]
    except OSError as error:
        raise ResourceError(f"the rules {os.fspath(path)} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, KeyError, TypeError) as error:
        names = ", ".join(["file", *(field.name for field in fields(Rule))])
        raise InvalidArgumentError(
            f"{os.fspath(path)} holds no rules: {error}. Write tables [[rule]] with the keys {names}."
        ) from error


def values_of(rules: Iterable[Rule] | None) -> tuple[RuleValues, ...]:
    """Return rules as a live sink's configuration holds them. None: those of the file that `VARIABLE` names."""
    if rules is None:
        path = os.environ.get(VARIABLE)
        rules = load_rules(path) if path else ()
    return tuple(astuple(rule) for rule in rules)


def file_values_of(rules: Iterable[Rule] | None, file: str) -> tuple[RuleValues, ...]:
    """Return the rules of a file sink, as `values_of`.

    Raises
    ------
    InvalidArgumentError
        If a rule changes images.
    """
    if rules is None:
        path = os.environ.get(VARIABLE)
        rules = load_rules(path, file) if path else ()
    rules = tuple(rules)
    for rule in rules:
        if rule.changes_images:
            raise InvalidArgumentError(
                f"rule {rule.path!r} for {file}: max_side and jpeg are for viewers and servers; a file keeps images as "
                "they were logged. Give the rule to a live sink, or thin the images out with every, sample or max_hz."
            )
    return values_of(rules)


def _is_for(pattern: object, file: str | os.PathLike[str] | None) -> bool:
    """Say whether a rule with this key `file` is for a file; for live sinks if `file` is None."""
    if pattern is None or file is None:
        return pattern is file
    from fnmatch import fnmatchcase

    path, wanted = os.path.abspath(file), str(pattern)
    return fnmatchcase(path if "/" in wanted else os.path.basename(path), wanted)


def rules_of(values: Iterable[RuleValues]) -> tuple[Rule, ...]:
    """Return the rules that `values_of` was called with."""
    names = [field.name for field in fields(Rule)]
    return tuple(Rule(**dict(zip(names, one, strict=True))) for one in values)
