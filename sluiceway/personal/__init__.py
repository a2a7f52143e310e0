"""Personal data and secrets in texts: found exactly, and treated by rules.

The time that finding takes grows with the length of a text and with nothing else in it.
"""

from __future__ import annotations

from sluiceway.personal._anonymize import Anonymizer
from sluiceway.personal._detect import Detectors
from sluiceway.personal.kinds import KINDS
from sluiceway.personal.rules import Action, Rule, Rules

__all__ = ["KINDS", "Action", "Anonymizer", "Detectors", "Rule", "Rules"]
