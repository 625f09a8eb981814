"""The portal's endpoints, one file a group."""
