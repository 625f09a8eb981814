"""Pipedrive: a sales CRM."""
