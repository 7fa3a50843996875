"""What calls are for (`role` of calls, attempts, costs): who asked decides what they may take and who hears of them."""

from typing import Literal

REQUEST_ROLES = frozenset({"primary", "retry", "failover", "continuation"})
"""Roles of calls that a request asked for; a probe is none."""

BULK_ROLES = frozenset({"shadow", "judge"})
"""Roles of calls that nobody waits for: no decision, breaker or retry budget hears of them."""

Lane = Literal["interactive", "bulk"]
"""Of calls at a provider; those of BULK_ROLES go in bulk."""
