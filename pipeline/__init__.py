"""Flow: the stages of a request's journey. Start with `topology.py`, the map, then `core/journey.py`, the heart."""
