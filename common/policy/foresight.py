"""How far to trust forecasts of links when acting ahead: what both directions say, and whether it is seen.

A forecast alone is a guess about noise as often as not. A radio path is the same both ways, so the two
directions of a link are taken together; and a fall that the receivers at both ends read in their signal
strength is a fact, so that the worse of what may come is reckoned with. Where nothing of the kind is seen,
only what fails in the best plausible case counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import exp, log
from typing import Final

from common.mesh.graph import LinkKey
from common.policy.actions import Forecast

SEEN_FALL_DB: Final = 1.8
"""Mean fall of both ends' signal strength within a link's history. Packets scatter by about 3 dB: of two
windows of ten probes and more at each end, the mean scatters by 0.55 dB."""

_CERTAIN: Final = 1e-3


def reckon(
    forecasts: Mapping[LinkKey, Forecast], falls_db: Mapping[LinkKey, float]
) -> dict[LinkKey, Forecast]:
    """What to plan with, of each link that is forecast.

    `falls_db` says by how much a receiver's signal strength fell, for links where it can be told.
    """
    return {key: _reckoned(key, forecast, forecasts, falls_db) for key, forecast in forecasts.items()}


def _reckoned(
    key: LinkKey,
    forecast: Forecast,
    forecasts: Mapping[LinkKey, Forecast],
    falls_db: Mapping[LinkKey, float],
) -> Forecast:
    back = forecasts.get(key[::-1])
    if back is None:
        return forecast
    fall = (falls_db.get(key, 0.0) + falls_db.get(key[::-1], 0.0)) / 2
    if fall < SEEN_FALL_DB:
        return Forecast(_middle(forecast.pdr, back.pdr), _middle(forecast.upper, back.upper))
    worse = _middle(forecast.if_falling, back.if_falling)
    return Forecast(worse, worse, worse)


def _middle(one: float, other: float) -> float:
    """The PDR half way between two, in log odds."""
    return 1.0 / (1.0 + exp(-(_log_odds(one) + _log_odds(other)) / 2))


def _log_odds(pdr: float) -> float:
    bounded = min(1.0 - _CERTAIN, max(_CERTAIN, pdr))
    return log(bounded / (1.0 - bounded))
