"""docs/server.md lists the settings that the code has."""

import re
from pathlib import Path

from catfish_server import settings

PAGE = (Path(__file__).parents[2] / "docs" / "server.md").read_text()


def test_the_page_lists_every_setting_with_its_flag_and_its_field():
    rows = re.findall(r"^\| `(CATFISH_\w+)` \| (?:`([^`]+)`)? ?\| (?:`([^`]+)`)? ?\|", PAGE, re.MULTILINE)
    listed = {name: (flag or None, field or None) for name, flag, field in rows}
    assert listed == {variable.name: (variable.flag, variable.field) for variable in settings.VARIABLES}
