"""Planted bugs: each a small edit of the engine that the laws and schedules must notice."""
