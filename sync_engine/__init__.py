"""The two-way sync engine: gather, plan, apply."""
