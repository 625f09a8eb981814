"""A real PostgreSQL on this machine, from the binaries of a wheel: nothing to install, no root needed.

`EmbeddedPostgres(home).start()` gives URLs within milliseconds when the server runs, within about a second when it
does not. It listens on 127.0.0.1 only, with generated passwords (SCRAM).
"""

from storage.embedded.server import EmbeddedPostgres
from storage.embedded.state import ServerUrls

__all__ = ["EmbeddedPostgres", "ServerUrls"]
