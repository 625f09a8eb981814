"""`syncline worker`, `scheduler`, `api` and `up`: the processes that keep connections in step and take webhooks in."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Annotated

import typer

from cli.exits import UNFINISHED
from cli.output import to_plain
from cli.session import Session

if TYPE_CHECKING:
    from uuid import UUID

    from tenacity import RetryCallState

    from api.intake import IntakeApp
    from bootstrap.wiring import Hub
    from workers.service import Health, Service

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

STARTS_WITHIN_S = 60
"""How long a service waits, at its start, for a database that does not answer."""


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
    """Keep every connection in step, serve the API and take webhooks in: one process, until SIGTERM or Ctrl-C.

    Database and queues are its own, unless DATABASE_URL and BROKER_URL name others. Told to stop, it answers the requests under
    way first, then finishes the batches.
    """
    _serve(session, threads, health_every, works=True, schedules=True, serves=True)


def api(session: Session) -> None:
    """Serve the API and take webhooks in, until SIGTERM or Ctrl-C. Start a worker and a scheduler beside it.

    Listens on SYNCLINE_API_HOST and SYNCLINE_API_PORT, in SYNCLINE_API_WORKERS processes. Told to stop, it answers the requests
    under way first.
    """
    import uvicorn
    from uvicorn.supervisors import Multiprocess

    from api.serving import application, config, listen, settle
    from bootstrap.metrics import counting_together
    from bootstrap.tracing import start

    settings = session.settings
    session.on_close(start("api"))
    _open(session, session.hub)  # what is wrong with them is told before anybody is served
    listening = listen(settings)
    session.out.say(f"Listening on http://{settings.api_host}:{listening.getsockname()[1]}")
    if settings.api_workers == 1:
        tell = _teller(session)
        server = uvicorn.Server(config(application(session.hub, on_stored=tell), settings))
        settle()
        server.run(sockets=[listening])
        return
    os.environ["SYNCLINE_HOME"], os.environ["SYNCLINE_TENANT"] = str(settings.home), str(settings.tenant)
    several = config("cli.service:application_of_environment", settings, factory=True, workers=settings.api_workers)
    with counting_together():
        Multiprocess(several, sockets=[listening]).run()


def application_of_environment() -> IntakeApp:
    """The application of one of several processes, which has its settings from the environment."""
    from api.serving import application, settle
    from bootstrap.tracing import start

    session = Session()
    start("api")  # ends with the process: what it has not sent yet is sent then
    _open(session, session.hub)
    made = application(session.hub, on_stored=_teller(session))
    settle()
    return made


def _teller(session: Session) -> Callable[[Collection[tuple[UUID, UUID]]], None]:
    """Hints to the workers; without a broker there are none, and the scheduler's next sweep finds what was stored."""
    if session.settings.broker_url is None:
        return lambda _: None
    from workers.inboxes import Teller
    from workers.service import Service

    tell = Teller(Service(session.hub, works=False, schedules=False).actors.send_inbox)
    session.on_close(tell.close)
    return tell


def _serve(
    session: Session,
    threads: int | None,
    health_every: float,
    *,
    works: bool,
    schedules: bool,
    serves: bool = False,
) -> None:
    from bootstrap.tracing import start
    from workers.service import Service

    session.on_close(start("up" if serves else "worker" if works else "scheduler"))
    last: list[Health] = []

    def tell(health: Health) -> None:
        last[:] = [health]
        if session.as_json:
            sys.stderr.write(json.dumps(to_plain(health)) + "\n")
            sys.stderr.flush()
        else:
            session.out.say(health.line())

    hub = _hub(session, threads)
    _open(session, hub)
    service = Service(hub, works=works, schedules=schedules)
    if serves:
        _beside(session, hub, service)
    finished = service.run(tell, health_every)
    result = {"finished": finished, "counts": last[-1].counts if last else {}}
    session.out.result(result, "Stopped." if finished else "Stopped; lanes whose batch took too long were given back.")
    if not finished:
        raise typer.Exit(UNFINISHED)


def _beside(session: Session, hub: Hub, service: Service) -> None:
    from api.serving import Serving, application, settle
    from workers.inboxes import Teller

    tell = Teller(service.actors.send_inbox)
    session.on_close(tell.close)
    serving = Serving(application(hub, on_stored=tell), hub.settings)
    service.beside = serving
    settle()
    if not session.as_json:
        session.out.say(f"Listening on http://{hub.settings.api_host}:{serving.port}")


def _open(session: Session, hub: Hub) -> None:
    """Open database and vault. A database that does not answer yet is waited for: a service starts while its server restarts.

    Raises TransientError when it does not answer within `STARTS_WITHIN_S`; ConfigurationError at once.
    """
    from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

    from domain.errors import TransientError

    def tell(state: RetryCallState) -> None:
        if state.attempt_number == 1:
            session.out.say(f"The database does not answer yet; waiting for it, at most {STARTS_WITHIN_S} seconds …")

    for attempt in Retrying(
        retry=retry_if_exception_type(TransientError),
        stop=stop_after_delay(STARTS_WITHIN_S),
        wait=wait_fixed(0.5),
        before_sleep=tell,
        reraise=True,
    ):
        with attempt:
            _ = hub.db, hub.vault


def _hub(session: Session, threads: int | None) -> Hub:
    """A hub with a database connection for every thread, and some for scheduling."""
    from bootstrap.wiring import Hub
    from workers.service import POOL_BESIDES_THREADS

    settings = session.settings if threads is None else session.settings.model_copy(update={"worker_threads": threads})
    hub = Hub(settings, say=session.out.say, pool_size=settings.worker_threads + POOL_BESIDES_THREADS)
    session.on_close(hub.close)
    return hub
