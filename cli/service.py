"""`syncline worker`, `scheduler` and `up`: the processes that keep connections in step."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from cli.exits import UNFINISHED
from cli.output import to_plain
from cli.session import Session

if TYPE_CHECKING:
    from bootstrap.wiring import Hub
    from workers.service import Health

HealthOption = Annotated[
    float,
    typer.Option("--health-every", min=0.1, metavar="SECONDS", help="How often to tell on stderr how it stands."),
]
ThreadsOption = Annotated[
    int | None,
    typer.Option(
        "--threads", min=1, max=64, metavar="N", help="Lanes at the same time, instead of SYNCLINE_WORKER_THREADS."
    ),
]


def worker(session: Session, threads: ThreadsOption = None, health_every: HealthOption = 60.0) -> None:
    """Work on lanes that a scheduler tells of, until SIGTERM or Ctrl-C. Needs BROKER_URL; start as many as you like.

    Told to stop, it finishes the batches under way within SYNCLINE_STOP_WITHIN_S seconds, or gives their lanes back.
    """
    _serve(session, threads, health_every, works=True, schedules=False)


def scheduler(session: Session, health_every: HealthOption = 60.0) -> None:
    """Find lanes that have something to do and tell the workers, until SIGTERM or Ctrl-C. Needs BROKER_URL.

    One is enough; a second one does no harm and takes over when the first is gone.
    """
    _serve(session, None, health_every, works=False, schedules=True)


def up(session: Session, threads: ThreadsOption = None, health_every: HealthOption = 60.0) -> None:
    """Keep every connection in step, in one process that needs nothing else, until SIGTERM or Ctrl-C.

    Database and queues are its own, unless DATABASE_URL and BROKER_URL name others.
    """
    _serve(session, threads, health_every, works=True, schedules=True)


def _serve(session: Session, threads: int | None, health_every: float, *, works: bool, schedules: bool) -> None:
    from workers.service import Service

    last: list[Health] = []

    def tell(health: Health) -> None:
        last[:] = [health]
        if session.as_json:
            sys.stderr.write(json.dumps(to_plain(health)) + "\n")
            sys.stderr.flush()
        else:
            session.out.say(health.line())

    service = Service(_hub(session, threads), works=works, schedules=schedules)
    finished = service.run(tell, health_every)
    result = {"finished": finished, "counts": last[-1].counts if last else {}}
    session.out.result(result, "Stopped." if finished else "Stopped; lanes whose batch took too long were given back.")
    if not finished:
        raise typer.Exit(UNFINISHED)


def _hub(session: Session, threads: int | None) -> Hub:
    """A hub with a database connection for every thread, and some for scheduling."""
    from bootstrap.wiring import Hub
    from workers.service import POOL_BESIDES_THREADS

    settings = session.settings if threads is None else session.settings.model_copy(update={"worker_threads": threads})
    hub = Hub(settings, say=session.out.say, pool_size=settings.worker_threads + POOL_BESIDES_THREADS)
    session.on_close(hub.close)
    return hub
