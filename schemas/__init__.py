"""Contracts: whatever crosses a topic, a process or a dashboard. Imports nothing of ours and does no I/O."""
