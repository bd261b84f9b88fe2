"""The site has every page, each in one place of its menu. `make docs` builds it and checks its links."""

from __future__ import annotations

import re
from pathlib import Path

from tests.docs.site import copy_pages
from tests.harness.programs import ROOT


def test_every_page_is_in_the_menu(tmp_path: Path) -> None:
    copy_pages(tmp_path / "pages")
    pages = {str(path.relative_to(tmp_path / "pages")) for path in (tmp_path / "pages").rglob("*.md")}
    menu = re.findall(r": (\S+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE)
    assert sorted(menu) == sorted(pages)
