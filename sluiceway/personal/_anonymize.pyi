from typing import Self

from sluiceway.otlp._scrub import Scrubber
from sluiceway.personal._detect import Detectors
from sluiceway.personal.cipher import Cipher
from sluiceway.personal.rules import Rules

class Anonymizer(Scrubber):
    def __new__(
        cls,
        detectors: Detectors,
        rules: Rules,
        places: int,
        hmac_key: bytes,
        cipher: Cipher | None,
        tenant_key: str,
        least_remembered: int = 64,
    ) -> Self: ...
    def count(self, kind: int, action: int) -> int: ...

def token(hmac_key: bytes, kind: int, name: bytes, text: bytes) -> str: ...
