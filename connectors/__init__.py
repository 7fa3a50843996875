"""Edges: one room per outside system. Configuration comes in as arguments; decisions are handed in by bootstrap."""
