"""Shells around the core, thin: gather, decide, emit. What each reads and writes stands in `pipeline/topology.py`."""
