"""Says what is wrong on this machine, which of it to mend first, and with which command.

- Changes nothing, prints nothing, and imports neither torch nor a hub's client.
- Everything native runs in a child; a check that fails is a finding and ends nothing but itself.
"""

from modelfetch.diagnosis.conclusion import Conclusion, conclude
from modelfetch.diagnosis.examination import doctor, examine
from modelfetch.diagnosis.finding import Finding, Rank, Severity, worst
from modelfetch.diagnosis.machine import Machine

__all__ = ["Conclusion", "Finding", "Machine", "Rank", "Severity", "conclude", "doctor", "examine", "worst"]
