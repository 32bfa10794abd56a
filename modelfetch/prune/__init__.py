"""Makes room in a store: what nobody needs, and on request what nobody used for long. One verb; prints nothing."""

from modelfetch.prune.doing import carry_out, look_and_plan
from modelfetch.prune.orphans import OrphanFile
from modelfetch.prune.planning import Plan, Wishes

__all__ = ["OrphanFile", "Plan", "Wishes", "carry_out", "look_and_plan"]
