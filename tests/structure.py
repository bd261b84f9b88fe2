"""The package's structure in figures: `python -m tests.structure [ROOT] [--pairs]`; tests/test_structure.py judges.

`--pairs` also lists the places that share lines.

An import counts wherever it stands: at the top of a module, in a function, or for type checkers only.
"""

from __future__ import annotations

import ast
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

from tests.harness.programs import ROOT

__all__ = ["COVERED_BY", "ORDER", "Structure", "circles", "mirror_of", "structure", "tier_of"]

ORDER = (
    ("rerun_mp.errors", "rerun_mp.printable", "rerun_mp.standard_error"),
    ("rerun_mp.settings", "rerun_mp.shm", "rerun_mp.compat.versions"),
    ("rerun_mp.protection",),
    ("rerun_mp.encoding", "rerun_mp.hooks"),
    ("rerun_mp.fast", "rerun_mp.producer", "rerun_mp.viewers", "rerun_mp.shipping"),
    ("rerun_mp.session",),
    ("rerun_mp.collector.messages",),
    ("rerun_mp.collector.drain",),
    ("rerun_mp.collector.smaller_images",),
    ("rerun_mp.collector.rules",),
    ("rerun_mp.collector.store",),
    ("rerun_mp.collector.acknowledged_calls", "rerun_mp.collector.repeated_chunks"),
    ("rerun_mp.collector.ahead",),
    ("rerun_mp.collector.live",),
    ("rerun_mp.collector.unsent",),
    ("rerun_mp.collector.recording_output",),
    ("rerun_mp.collector.outputs",),
    ("rerun_mp.collector.reporting",),
    ("rerun_mp.collector",),
    ("rerun_mp.monitoring", "rerun_mp.figures"),
    ("rerun_mp.api",),
    ("rerun_mp.compat", "rerun_mp.plain"),
    ("rerun_mp",),
    ("rerun_mp.integrations",),
    ("rerun_mp.cli",),
    ("rerun_mp.__main__",),
)
"""Packages and modules from the bottom to the top. A module imports from its own entry and from the tiers below it.

A module belongs to the longest entry that its name begins with.
"""

COVERED_BY: dict[str, str] = {
    "rerun_mp.api.column_rows": "tests/api/test_log_tables.py",
    "rerun_mp.api.refusals": "tests/field/test_log_never_hurts.py",
    "rerun_mp.api.rows": "tests/parity",
    "rerun_mp.api.selection": "tests/api/test_active.py",
    "rerun_mp.api.send_columns": "tests/parity",
    "rerun_mp.api.state": "tests/api/test_set_time.py",
    "rerun_mp.api.statistics": "tests/faults/test_scope.py",
    "rerun_mp.compat.native.recordings": "tests/compat/test_bridge.py",
    "rerun_mp.compat.native.registry": "tests/compat/test_bridge.py",
    "rerun_mp.compat.native.rows": "tests/compat/test_bridge.py",
    "rerun_mp.compat.native.sinks": "tests/compat/test_bridge.py",
    "rerun_mp.compat.old.archetypes": "tests/compat/test_legacy.py",
    "rerun_mp.compat.old.calls": "tests/compat/test_legacy.py",
    "rerun_mp.compat.old.times": "tests/compat/test_legacy.py",
    "rerun_mp.compat.old.warning": "tests/compat/test_legacy.py",
    "rerun_mp.fast.constants": "tests/api/test_log_tables.py",
    "rerun_mp.fast.structures": "tests/fast/test_general.py",
    "rerun_mp.viewers.web_server": "tests/viewer/test_web_viewer.py",
    "rerun_mp.collector.__main__": "tests/faults/test_collector_kills.py",
    "rerun_mp.collector.adoption": "tests/field/test_adoption.py",
    "rerun_mp.api.long_runs": "tests/examples/test_programs.py",
    "rerun_mp.collector.store.file_statuses": "tests/collector/store/test_recording_store.py",
    "rerun_mp.collector.store.clock": "tests/collector/store/test_window.py",
    "rerun_mp.hooks.pausing": "tests/api/test_pausing.py",
    "rerun_mp.encoding.rrd_sections": "tests/collector/store/test_sections.py",
    "rerun_mp.collector.store.statics": "tests/collector/store/test_rotating.py",
    "rerun_mp.collector.drain.arrow_envelope": "tests/collector/drain/test_trusted_ipc.py",
    "rerun_mp.collector.drain.chunks": "tests/collector/drain/test_frame_chunks.py",
    "rerun_mp.collector.drain.table_rows": "tests/collector/drain/test_table_chunks.py",
    "rerun_mp.collector.ending": "tests/faults/test_collector_ending.py",
    "rerun_mp.collector.smaller_images": "tests/collector/test_rules.py",
    "rerun_mp.collector.guard": "tests/faults/test_collector_gone.py",
    "rerun_mp.collector.pipeline": "tests/faults/test_every_step_of_the_collector.py",
    "rerun_mp.collector.reporting.figure_logger": "tests/test_figures.py",
    "rerun_mp.collector.reporting.own_entities": "tests/hosts/test_identity.py",
    "rerun_mp.collector.reporting.process_rows": "tests/hosts/test_identity.py",
    "rerun_mp.cli.catalog": "tests/shipping/test_catalog.py",
    "rerun_mp.cli.nodes": "tests/hosts/test_head.py",
    "rerun_mp.cli.ship": "tests/shipping/test_shipper.py",
    "rerun_mp.shipping.accounts": "tests/shipping/test_shipper.py",
    "rerun_mp.shipping.parts": "tests/shipping/test_shipper.py",
    "rerun_mp.shipping.signing": "tests/shipping/test_receiver.py",
    "rerun_mp.shipping.targets": "tests/shipping/test_receiver.py",
    "rerun_mp.session.sink_claims": "tests/session/test_earlier_files.py",
    "rerun_mp.session.host_names": "tests/hosts/test_identity.py",
    "rerun_mp.collector.reporting.system_logger": "tests/integrations/test_system.py",
    "rerun_mp.collector.reporting.loss_reports": "tests/faults/test_crash_marks.py",
    "rerun_mp.fast": "tests/fast/test_base.py",
    "rerun_mp.fast.catalogue": "tests/fast/test_general.py",
    "rerun_mp.fast.verification": "tests/compat/test_next_release.py",
    "rerun_mp.fast.encoders": "tests/fast/test_general.py",
    "rerun_mp.hooks.entry": "tests/field/test_interpreters.py",
    "rerun_mp.hooks.interpreters": "tests/field/test_interpreters.py",
    "rerun_mp.session.collector_check": "tests/field/test_interpreters.py",
    "rerun_mp.__main__": "tests/cli/test_recover.py",
    "rerun_mp.monitoring.recovery": "tests/faults/test_recovery.py",
    "rerun_mp.session.absence": "tests/field/test_without_session.py",
    "rerun_mp.cli.serve": "tests/field/test_named_sessions.py",
    "rerun_mp.session.named": "tests/field/test_named_sessions.py",
    "rerun_mp.session.heirs": "tests/field/test_heirs.py",
    "rerun_mp.collector.newcomers": "tests/field/test_heirs.py",
    "rerun_mp.session.collector_watch": "tests/faults/test_exhaustion_limits.py",
    "rerun_mp.session.current": "tests/faults/test_orphans.py",
    "rerun_mp.shm.remedies": "tests/session/test_refusals.py",
    "rerun_mp.session.refused_rows": "tests/field/test_log_never_hurts.py",
    "rerun_mp.session.leaving": "tests/faults/test_orphans.py",
    "rerun_mp.session.leftovers": "tests/faults/test_recovery.py",
    "rerun_mp.session.producer_start": "tests/faults/test_exhaustion_limits.py",
    "rerun_mp.session.session": "tests/faults/test_endings.py",
    "rerun_mp.protection": "tests/test_plain.py",
    "rerun_mp.session.statistics": "tests/session/test_accounts.py",
    "rerun_mp.session.sink_changes": "tests/faults/test_scope.py",
    "rerun_mp.cli.send": "tests/field/test_delivery.py",
    "rerun_mp.collector.acknowledged_calls": "tests/collector/test_live.py",
    "rerun_mp.collector.repeated_chunks": "tests/collector/test_live.py",
    "rerun_mp.collector.unsent": "tests/field/test_delivery.py",
    "rerun_mp.cli.child_server": "tests/cli/test_head.py",
    "rerun_mp.cli.vulkan": "tests/cli/test_doctor.py",
    "rerun_mp.cli": "tests/cli/test_run.py",
    "rerun_mp.cli.startup.sitecustomize": "tests/cli/test_run.py",
    "rerun_mp.integrations.gunicorn": "tests/examples/test_integrations.py",
    "rerun_mp.integrations.output_reader": "tests/integrations/test_output.py",
    "rerun_mp.integrations.output_reader.reading": "tests/integrations/test_output.py",
    "rerun_mp.integrations.output_reader.__main__": "tests/integrations/test_output.py",
    "rerun_mp.integrations.pyinstaller": "tests/field/test_frozen.py",
    "rerun_mp.integrations.pyinstaller.hook-rerun_mp": "tests/field/test_frozen.py",
    "rerun_mp.integrations.pyinstaller.rthooks.pyi_rth_rerun_mp": "tests/field/test_frozen.py",
    "rerun_mp.integrations.dask": "tests/hosts/test_launchers.py",
    "rerun_mp.integrations.ray": "tests/hosts/test_launchers.py",
    "rerun_mp.integrations.pools": "tests/integrations/test_workers.py",
    "rerun_mp.integrations.pytest_plugin": "tests/examples/test_integrations.py",
    "rerun_mp.integrations.torch": "tests/examples/test_integrations.py",
    "rerun_mp.collector.store.rerun_files": "tests/encoding/test_rrd_files.py",
    "rerun_mp.collector.store.rerun_sdk": "tests/collector/store/test_rerun_sinks.py",
}
"""Modules without a test file of their own -> the test file or folder that covers them."""

SHARED_LINES = 6
"""Two places that share so many lines in a row are counted as a pair."""


class Size(NamedTuple):
    """The lines of a module or class."""

    lines: int
    name: str


class Structure:
    """The modules below `root`/rerun_mp, and what each imports."""

    def __init__(self, root: Path = ROOT) -> None:
        self.root = root
        self.paths: dict[str, Path] = {}
        for path in sorted((root / "rerun_mp").rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            self.paths[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
        self._trees = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in self.paths.items()}

    def imports_of(self, module: str, *, at_start: bool = False) -> set[str]:
        """Return the package's modules that `module` imports. `at_start`: only those that its loading imports."""
        return set(self._imports(module, self._trees[module], at_start=at_start)) - {module}

    def _imports(self, module: str, node: ast.AST, *, at_start: bool) -> Iterator[str]:
        if at_start and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            return
        if (
            at_start
            and isinstance(node, ast.If)
            and isinstance(node.test, ast.Name)
            and node.test.id == "TYPE_CHECKING"
        ):
            for statement in node.orelse:
                yield from self._imports(module, statement, at_start=at_start)
            return
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in self.paths)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            assert node.level == 0, f"{module} imports relatively"
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                if name in self.paths or node.module in self.paths:
                    yield name if name in self.paths else node.module
        for child in ast.iter_child_nodes(node):
            yield from self._imports(module, child, at_start=at_start)

    def upward(self) -> Iterator[tuple[str, str]]:
        """Yield each pair of modules of which the first imports the second against `ORDER`."""
        for module in self.paths:
            for name in sorted(self.imports_of(module)):
                mine, its = tier_of(module), tier_of(name)
                if its > mine or (its == mine and entry_of(module) != entry_of(name)):
                    yield module, name

    def module_sizes(self) -> list[Size]:
        """Return the size of each module, the largest first."""
        sizes = [Size(len(path.read_text(encoding="utf-8").splitlines()), name) for name, path in self.paths.items()]
        return sorted(sizes, reverse=True)

    def class_sizes(self) -> list[Size]:
        """Return the size of each class, the largest first."""
        found = [
            Size((node.end_lineno or 0) - node.lineno + 1, f"{name}.{node.name}")
            for name, tree in self._trees.items()
            for node in ast.walk(tree)
            if isinstance(node, ast.ClassDef)
        ]
        return sorted(found, reverse=True)

    def packages(self) -> list[str]:
        """Return the packages, and the modules that lie beside them."""
        return sorted({".".join(name.split(".")[:2]) for name in self.paths} - {"rerun_mp"})


@cache
def structure() -> Structure:
    """Return the structure of the package. To read all of its code takes a second, so no module does that on import."""
    return Structure()


def mirror_of(module: str) -> str:
    """Return the test file in which a module's tests are expected, relative to the root."""
    *packages, name = module.split(".")[1:] or ["face"]
    return "/".join(["tests", *packages, f"test_{name}.py"])


def entry_of(module: str) -> str:
    """Return the entry of `ORDER` that a module belongs to."""
    entries = [entry for tier in ORDER for entry in tier if module == entry or module.startswith(entry + ".")]
    return max(entries, key=len)


def tier_of(module: str) -> int:
    """Return on which tier of `ORDER` a module stands, counted from the bottom."""
    return next(number for number, tier in enumerate(ORDER) if entry_of(module) in tier)


def circles(edges: dict[str, set[str]]) -> list[list[str]]:
    """Return the groups of nodes that can all reach each other (Tarjan's strongly connected components)."""
    order: dict[str, int] = {}
    lowest: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(node: str) -> None:
        order[node] = lowest[node] = len(order)
        stack.append(node)
        for target in edges.get(node, ()):
            if target not in order:
                visit(target)
            if target in stack:
                lowest[node] = min(lowest[node], lowest[target])
        if lowest[node] == order[node]:
            group = [stack.pop()]
            while group[-1] != node:
                group.append(stack.pop())
            if len(group) > 1:
                found.append(sorted(group))

    for node in edges:
        if node not in order:
            visit(node)
    return found


def shared_places(paths: Iterable[Path]) -> list[str]:
    """Return the pairs of places that share `SHARED_LINES` lines in a row or more, blank lines and indents left out."""
    places: defaultdict[tuple[str, ...], list[tuple[Path, int]]] = defaultdict(list)
    line_numbers: dict[tuple[Path, int], int] = {}
    for path in paths:
        lines = [(at, line.strip()) for at, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)]
        lines = [(at, line) for at, line in lines if line and not line.startswith(("import ", "from "))]
        for number in range(len(lines) - SHARED_LINES + 1):
            places[tuple(line for _, line in lines[number : number + SHARED_LINES])].append((path, number))
            line_numbers[path, number] = lines[number][0]
    runs = set()
    for where in places.values():
        for i, (path, number) in enumerate(where):
            for other, at in where[i + 1 :]:
                runs.add((path, number, other, at))
    return [
        f"{path}:{line_numbers[path, number]} and {other}:{line_numbers[other, at]}"
        for path, number, other, at in sorted(runs)
        if (path, number - 1, other, at - 1) not in runs
    ]


def main() -> None:
    """Print the figures."""
    arguments = [argument for argument in sys.argv[1:] if argument != "--pairs"]
    structure = Structure(Path(arguments[0]).resolve() if arguments else ROOT)
    edges = {name: structure.imports_of(name) for name in structure.paths}
    tests = sorted((structure.root / "tests").rglob("*.py"))
    print(f"packages and modules at the top   {len(structure.packages())}")
    print(f"modules                           {len(structure.paths)}")
    if entry_of("rerun_mp.shm.ring") and structure.root == ROOT:
        print(f"imports upward                    {len(list(structure.upward()))}")
    print(f"circles (files in them)           {len(circles(edges))} ({sum(map(len, circles(edges)))})")
    print(
        "largest modules                   "
        + ", ".join(f"{name} {size}" for size, name in structure.module_sizes()[:3])
    )
    print(
        "largest classes                   " + ", ".join(f"{name} {size}" for size, name in structure.class_sizes()[:3])
    )
    print(f"lines of rerun_mp, of tests       {sum(size for size, _ in structure.module_sizes())}, {_lines(tests)}")
    pairs = shared_places([*structure.paths.values(), *tests])
    print(f"pairs sharing {SHARED_LINES} lines or more     {len(pairs)}")
    if "--pairs" in sys.argv:
        print(*pairs, sep="\n")


def _lines(paths: Iterable[Path]) -> int:
    return sum(len(path.read_text(encoding="utf-8").splitlines()) for path in paths)


if __name__ == "__main__":
    main()
