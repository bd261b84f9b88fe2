"""Runs random histories of a stateful model."""

from __future__ import annotations

from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

__all__ = ["check"]


def check(machine: type[RuleBasedStateMachine], examples: int, steps: int, *, is_shrunk: bool = True) -> None:
    """Run `examples` histories of at most `steps` steps. `is_shrunk` reduces a failing one to fewer steps."""
    chosen = settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[phase for phase in Phase if is_shrunk or phase in (Phase.explicit, Phase.generate)],
        print_blob=True,
    )
    run_state_machine_as_test(machine, settings=chosen)
