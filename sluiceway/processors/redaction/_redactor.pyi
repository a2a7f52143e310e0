from sluiceway.otlp._scrub import Scrubber
from sluiceway.processors.redaction.rules import Rules

class Redactor(Scrubber):
    def __init__(self, rules: Rules, level: int) -> None: ...
