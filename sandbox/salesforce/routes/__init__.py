"""What the org answers on each of its paths. Importing a module here registers nothing: each has a ``register(router)``."""
