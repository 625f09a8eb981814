"""Deliveries from outside: verified, deduplicated, stored before they are acknowledged."""
