"""A stand-in Pipedrive company."""
