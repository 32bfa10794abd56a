"""Says what is not as it was pulled, or not as a lock file has it, offline; mends it where the caller knows how."""

from modelfetch.verify.locked import Held, hold_to_lock
from modelfetch.verify.report import Finding, Problem, Severity, VerifyReport
from modelfetch.verify.run import Checked, Repair, verify

__all__ = [
    "Checked",
    "Finding",
    "Held",
    "Problem",
    "Repair",
    "Severity",
    "VerifyReport",
    "hold_to_lock",
    "verify",
]
