"""Files: exports in folders and archives."""
