"""What calls are for (`role` of calls, attempts, costs): who asked decides what they may take and who hears of them."""

REQUEST_ROLES = frozenset({"primary", "retry", "failover", "continuation"})
"""Roles of calls that a request asked for; a probe is none."""

BULK_ROLES = frozenset({"shadow", "judge"})
"""Roles of calls that take what others leave free: no decision, breaker or retry budget hears of them."""
