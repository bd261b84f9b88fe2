"""The drawing shows every row of the results, the slow ones in another color."""

from __future__ import annotations

from xml.etree import ElementTree

from benchmarks.drawing import FASTER, SLOWER, bars_of, draw
from benchmarks.report import Section, table

USUAL = table(
    ("microseconds of a processor", "rerun-sdk", "rerun_mp", "ratio"),
    [("Tensor", "300.0", "25.0", "12.0x"), ("Boxes2D, <mins>", "9.0", "10.0", "0.9x")],
)
TARGETS = table(("target", "measured", "bound", ""), [("slowest row", "0.9 x", "≥ 2 x", "MISS")])
SHORT = Section("Short program", ("seconds: wall / processors", "rerun-sdk", "rerun_mp", "ratio"))
SHORT.rows.append(("the shortest program", "0.50 / 0.60", "0.25 / 0.40", "0.50 / 0.67"))
SHORT.rows.append(("dna", "0.50 / 0.60", "0.55 / 0.90", "1.10 / 1.50"))
RESULTS = f"## start_up\n\n{USUAL}\n## whole_programs\n\n{SHORT}\n{TARGETS}\n## usual\n\n{USUAL}\n\n{TARGETS}\n"


def test_each_row_is_a_bar_and_the_fastest_comes_first() -> None:
    bars = bars_of(RESULTS)
    assert [bar.name for bar in bars] == ["Tensor", "Boxes2D, <mins>", "the shortest program", "dna"]
    assert [round(bar.ratio, 2) for bar in bars] == [12.0, 0.9, 2.0, 0.91]


def test_the_drawing_is_svg_with_a_bar_for_each_row() -> None:
    root = ElementTree.fromstring(draw(bars_of(RESULTS)))
    name = "{http://www.w3.org/2000/svg}"
    colors = [bar.get("fill") for bar in root.iter(f"{name}rect")]
    assert colors == ["white", FASTER, SLOWER, FASTER, SLOWER]
    assert {"Tensor", "Boxes2D, <mins>", "12x", "0.9x"} <= {text.text for text in root.iter(f"{name}text")}
