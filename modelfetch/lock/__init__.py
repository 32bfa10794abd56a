"""The lock file: which bytes are meant by a model's name. What a team commits, and what CI pulls from (docs/lock.md).

The format and what it holds; writing one is `pull`'s, holding a machine to one is `verify`'s.
"""

from modelfetch.lock.document import is_one_line, parse, render
from modelfetch.lock.file import read
from modelfetch.lock.values import Lock, LockedModel

__all__ = ["Lock", "LockedModel", "is_one_line", "parse", "read", "render"]
