"""Webhooks in and out."""
