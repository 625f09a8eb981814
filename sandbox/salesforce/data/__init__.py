"""Seeded data: an org as sales teams leave them."""
