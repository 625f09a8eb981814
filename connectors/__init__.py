"""Vendors, each in a folder of its own. The folder is the registration: see `connectors.kit.registry`."""
