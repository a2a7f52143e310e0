"""Rules: which treatment a key's values and what is found in them get."""

from __future__ import annotations

from sluiceway.personal import KINDS, Action, Rule, Rules

EMAIL, IP = KINDS.index("email"), KINDS.index("ip")


def test_what_has_no_rule_is_masked() -> None:
    """The last treatment is a mask, and everything gets it that no rule is about."""
    rules = Rules([Rule(Action.HASH, ("ip",))], ("email", "ip"))
    verdict = rules.decide("a", "a")
    assert verdict.by_kind[EMAIL] == 1
    assert rules.treatments[1][0] == Action.MASK
    assert verdict.by_kind[IP] == 0


def test_the_first_rule_that_matches_counts() -> None:
    """Of several about the same detector or the same key."""
    rules = Rules(
        [
            Rule(Action.HASH, ("ip",), ("x.*",)),
            Rule(Action.KEEP, ("ip",)),
            Rule(Action.DROP, (), ("x.a",)),
            Rule(Action.MASK, (), ("x.*",)),
        ],
        KINDS,
    )
    assert rules.decide("x.a", "x.a").by_kind[IP] == 0
    assert rules.decide("y", "y").by_kind[IP] == 1
    assert rules.decide("x.a", "x.a").whole == 2
    assert rules.decide("x.b", "x.b").whole == 3


def test_a_rule_about_findings_before_one_about_the_key_is_known() -> None:
    """What it finds is treated by it where that is all of the value."""
    rules = Rules(
        [Rule(Action.PSEUDONYMIZE, ("email",)), Rule(Action.HASH, (), ("id",)), Rule(Action.MASK, ("ip",))], KINDS
    )
    assert rules.decide("id", "id").earlier == 1 << EMAIL
    assert rules.decide("other", "other").earlier == 0


def test_a_key_is_known_by_its_own_name_and_by_its_path() -> None:
    """In maps."""
    rules = Rules([Rule(Action.HASH, (), ("payment.*",)), Rule(Action.DROP, (), ("password",))], ())
    assert rules.decide("payment.card", "card").whole == 0
    assert rules.decide("user.password", "password").whole == 1
    assert rules.decide("user.card", "card").whole == -1


def test_versions_are_no_addresses() -> None:
    """Where the key says that a value is a version, no address is looked for."""
    rules = Rules([], KINDS)
    assert not rules.decide("service.version", "service.version").wanted >> IP & 1
    assert rules.decide("service.name", "service.name").wanted >> IP & 1


def test_only_detectors_that_are_on_are_wanted() -> None:
    """Own patterns have bits after the built-in ones."""
    rules = Rules([Rule(Action.DROP, ("order",))], ("email", "order"), ("order",))
    verdict = rules.decide("", "")
    assert verdict.wanted == 1 << EMAIL | 1 << 16
    assert verdict.by_kind[16] == 0
    assert rules.names[16] == b"order"
