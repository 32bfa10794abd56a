"""What a reply's head may hold."""

from __future__ import annotations

import pytest

from modelfetch.serve.reply import Reply


@pytest.mark.parametrize("text", ["a\r\nX-Evil: b", "a\nb", "a\rb"])
def test_a_header_never_ends_its_line_early(text: str) -> None:
    with pytest.raises(ValueError, match="line break"):
        Reply(200, {"X-Repo-Commit": text}).head(date="now", keep_alive=True)
