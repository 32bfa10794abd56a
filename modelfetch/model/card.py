"""The front matter of a model card: what its authors say of the model in words that programs read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import yaml

# The front matter comes first, and a card is as long as its authors like.
MAX_CARD_BYTES = 1 << 16
CARDS = ("README.md", "readme.md")

_FRONT_MATTER = re.compile(r"\A\ufeff?---[ \t]*\r?\n(.*?)\r?\n---[ \t]*\r?(?:\n|\Z)", re.DOTALL)


def front_matter(card: bytes) -> Mapping[str, Any]:
    """The front matter of a card, of which the first `MAX_CARD_BYTES` are enough; empty where there is none.

    Raises:
        ValueError: it is not YAML.
    """
    matter = _FRONT_MATTER.match(card.decode("utf-8", "replace"))
    if matter is None:
        return {}
    try:
        document = yaml.safe_load(matter.group(1))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ValueError(f"its front matter is not YAML: {str(error).splitlines()[0]}") from error
    return document if isinstance(document, dict) else {}
