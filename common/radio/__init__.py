"""The event simulator of the advertising bearer: what a scenario's messages live through, message by message.

    outcome = simulate(scenario, seed=7)
    outcome.flows[0].pdr

Used by the twin and by virtual sites, never by a gateway's agent: `simulate` imports numpy and numba when it
is called first, and not before. The results and the parameters import neither.
"""

from __future__ import annotations

from collections.abc import Sequence

from common.radio.outcome import FlowOutcome, Latency, Outcome, Totals
from common.radio.parameters import DEFAULT, RadioParameters
from common.scenario import Scenario

__all__ = ["DEFAULT", "FlowOutcome", "Latency", "Outcome", "RadioParameters", "Totals", "simulate"]


def simulate(
    scenario: Scenario,
    parameters: RadioParameters = DEFAULT,
    *,
    seed: int | None = None,
    duration_s: float | None = None,
    only_flows: Sequence[int] | None = None,
) -> Outcome:
    """Play a scenario once. Equal arguments give equal outcomes, but for `totals.cpu_s`.

    `seed` and `duration_s` replace the scenario's own. `only_flows` are indices into `scenario.flows`: the
    others send nothing, and `Outcome.flows` has these alone, in this order. Messages start within the
    duration; the play goes on until the last of them has died away. Raises Rejected for an index that does
    not exist or a site that would not fit into memory.
    """
    from common.radio.play import play

    return play(scenario, parameters, seed=seed, duration_s=duration_s, only_flows=only_flows)
