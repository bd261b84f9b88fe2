"""Prints the table of hazards as Markdown: hazard, guard and where it is, tests that fail without it, and how."""

from __future__ import annotations

from tests.hazards.registry import TITLES
from tests.hazards.removals import REMOVALS


def main() -> None:
    """Print the table."""
    print("| # | hazard | guard | in | without it fails | saying |\n|---|---|---|---|---|---|")
    for removal in REMOVALS:
        places = ", ".join(f"`{place}`" for place in removal.places())
        tests = ", ".join(f"`{test.removeprefix('tests/')}`" for test in removal.tests)
        print(
            f"| {removal.hazard} | {TITLES[removal.hazard]} | {removal.guard} | {places} | {tests} | {removal.fails} |"
        )


if __name__ == "__main__":
    main()
