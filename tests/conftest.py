"""What holds for all tests."""

from hypothesis import settings

# How long an example takes says something of the machine, and nothing of the rule.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
