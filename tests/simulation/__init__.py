"""Failing over, simulated: the real decisions in a world of virtual time, where everything that can go wrong does.

    clock        virtual milliseconds; processes whose every effect may be their last
    logs         topics: redelivery from the last commit, consumer groups, restarts, rebalances
    providers    vendors with outages: refused, broken, silent, limited, flaky, and streams that break in the middle
    route_owner  does what `agents/route.py` does, with the real Journey, decide, Endpoints (LocalBreaker, RetryBudget)
    call_worker  does what `agents/call.py` does, with the real Sensing (Sensor, LocalBreaker) and Continuation
    health       does what `agents/health.py` does, with the real Judge
    monitor      what must hold, whatever happens
    world        one run of one seed                                                    <- start here

Everything follows from the seed: a failing one is replayed by `MILLRACE_SIM_SEED=<seed>`.
"""

from tests.simulation.world import Report, simulate

__all__ = ["Report", "simulate"]
