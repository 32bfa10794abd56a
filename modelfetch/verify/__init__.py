"""Reads every byte of what was pulled and says what is not as it was, offline; mends it where the caller knows how."""

from modelfetch.verify.report import Finding, Problem, Severity, VerifyReport
from modelfetch.verify.run import Checked, Repair, verify

__all__ = ["Checked", "Finding", "Problem", "Repair", "Severity", "VerifyReport", "verify"]
