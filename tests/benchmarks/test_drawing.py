"""The drawing shows every row of the results, the slow ones in another color."""

from __future__ import annotations

from xml.etree import ElementTree

from benchmarks.drawing import FASTER, SLOWER, bars_of, draw

RESULTS = {
    "usual": {
        "figures": {
            "Boxes2D, <mins>": {"rerun": 9.0, "rerun_mp": 10.0},
            "Tensor": {"rerun": 300.0, "rerun_mp": 25.0},
        }
    },
    "programs": {
        "figures": {
            "dna": {"rerun": [0.5, 0.6], "rerun_mp": [0.55, 0.9]},
            "the shortest program": {"rerun": [0.5, 0.6], "rerun_mp": [0.25, 0.4]},
        }
    },
    "calls": {"figures": {}},
}


def test_each_row_is_a_bar_and_the_fastest_comes_first() -> None:
    bars = bars_of(RESULTS)
    assert [bar.name for bar in bars] == ["Tensor", "Boxes2D, <mins>", "the shortest program", "dna"]
    assert [round(bar.ratio, 2) for bar in bars] == [12.0, 0.9, 2.0, 0.91]


def test_the_drawing_is_svg_with_a_bar_for_each_row() -> None:
    root = ElementTree.fromstring(draw(bars_of(RESULTS)))
    name = "{http://www.w3.org/2000/svg}"
    colors = [bar.get("fill") for bar in root.iter(f"{name}rect")]
    assert colors == ["white", FASTER, SLOWER, FASTER, SLOWER]
    assert {"Tensor", "Boxes2D, <mins>", "12x", "0.90x"} <= {text.text for text in root.iter(f"{name}text")}
