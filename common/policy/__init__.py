"""Decisions, pure: `(SiteState, Observation, now) -> list[Action]`. The agent runs them live, the twin in
what-if. No I/O, no asyncio, no inference: model outputs come in as numbers."""
