"""What commands print."""

import pandas as pd
import pytest
from rich.console import Console

from curation_gym import console


def test_a_table_shows_what_stands_in_brackets(capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "console", Console(width=80))
    console.print_table(pd.DataFrame({"policy": ["a [b]"], "labels [n]": ["inf [inf, inf]"]}), "one [title]")
    told = capsys.readouterr().out
    for part in ("one [title]", "a [b]", "labels [n]", "inf [inf, inf]"):
        assert part in told
