"""dramatiq workers: broker, actors, relay, scheduler."""
