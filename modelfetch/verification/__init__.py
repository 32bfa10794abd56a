"""Says what is not as it was pulled, or not as a lock file has it, offline; mends it where the caller knows how."""

from modelfetch.verification.locked import Held, hold_to_lock
from modelfetch.verification.report import Finding, Problem, Severity, VerifyReport
from modelfetch.verification.run import Checked, Repair, verify

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
