"""Random texts for the oracles: personal data, look-alikes and noise, cut and joined so that their edges are tried."""

from __future__ import annotations

from random import Random

from benchmarks.privacy.benign import BENIGN
from benchmarks.privacy.personal import MAKERS

__all__ = ["text"]

_GLUE = [
    "",
    " ",
    "-",
    ".",
    ",",
    ":",
    "/",
    "@",
    "_",
    "=",
    '"',
    "'",
    "\\",
    "%20",
    "\\n",
    "+",
    "(",
    ")",
    "://",
    "x",
    "1",
    "0",
    "a",
    "A",
    " version ",
    "::",
    "\n",
    "4",
    "de",
    "ey",
]
_NOISE = "0123456789abcdefABCDEF .-:@/+()_%"


def text(random: Random) -> str:
    """Some pieces in ASCII with something or nothing between them."""
    pieces = []
    for _ in range(random.randint(1, 6)):
        pieces += (_spoilt(random, _piece(random)), random.choice(_GLUE))
    made = "".join(pieces).encode("ascii", "ignore").decode()
    return made.replace("\x02", "").replace("\x03", "")


def _piece(random: Random) -> str:
    chance = random.random()
    if chance < 0.45:
        return random.choice(list(MAKERS.values()))(random)
    if chance < 0.65:
        return random.choice(list(BENIGN.values()))(random)
    return "".join(random.choices(_NOISE, k=random.randint(0, 20)))


def _spoilt(random: Random, piece: str) -> str:
    if not piece or random.random() > 0.3:
        return piece
    place = random.randrange(len(piece))
    return piece[:place] + random.choice(_GLUE) + piece[place + random.randint(0, 2) :]
