"""The broker: RabbitMQ or Redis by one URL, or queues within this process.

Messages are hints about rows in PostgreSQL. So nothing here retries, delays, expires or keeps dead messages, and the queues of
one process may vanish with it: dramatiq's own in-memory broker is made for tests and keeps every failed message for ever.
"""

from __future__ import annotations

from collections.abc import Iterable
from queue import Empty, Queue
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import dramatiq
import pika.exceptions
import redis
from dramatiq.broker import Consumer, MessageProxy
from dramatiq.brokers.rabbitmq import RabbitmqBroker
from dramatiq.brokers.redis import RedisBroker
from dramatiq.errors import BrokerConnectionError, QueueNotFound

from domain.errors import ConfigurationError, TransientError

_HEARTBEAT_S = 15
_REDIS_HEARTBEAT_MS = 30_000
_CONNECT_S = 5


class MemoryBroker(dramatiq.Broker):
    """Queues within this process, for any number of worker threads in it."""

    def __init__(self) -> None:
        super().__init__(middleware=[])
        self.queues: dict[str, Queue[bytes]] = {}

    def declare_queue(self, queue_name: str) -> None:
        if queue_name not in self.queues:
            self.emit_before("declare_queue", queue_name)
            self.queues[queue_name] = Queue()
            self.emit_after("declare_queue", queue_name)

    def consume(self, queue_name: str, prefetch: int = 1, timeout: int = 100) -> Consumer:  # noqa: ARG002
        return _MemoryConsumer(self._queue(queue_name), timeout / 1000)

    def enqueue(self, message: dramatiq.Message[Any], *, delay: int | None = None) -> dramatiq.Message[Any]:
        if delay is not None:
            raise ValueError("a hint is sent when it is due, and not before")
        self.emit_before("enqueue", message, delay)
        self._queue(message.queue_name).put(message.encode())
        self.emit_after("enqueue", message, delay)
        return message

    def flush(self, queue_name: str) -> None:
        queue = self._queue(queue_name)
        with queue.mutex:
            queue.queue.clear()

    def flush_all(self) -> None:
        for name in self.queues:
            self.flush(name)

    def _queue(self, name: str) -> Queue[bytes]:
        if name not in self.queues:
            raise QueueNotFound(name)  # type: ignore[no-untyped-call]
        return self.queues[name]


class _MemoryConsumer(Consumer):
    """Takes whatever there is: the worker orders it by urgency, which a limit on what it holds would only hide from it."""

    def __init__(self, queue: Queue[bytes], timeout_s: float) -> None:
        self._queue, self._timeout_s = queue, timeout_s

    def __next__(self) -> MessageProxy | None:
        try:
            return MessageProxy(dramatiq.Message.decode(self._queue.get(timeout=self._timeout_s)))
        except Empty:
            return None

    def ack(self, message: MessageProxy) -> None:
        """Nothing to do: what is taken from the queue is gone from it."""

    def nack(self, message: MessageProxy) -> None:
        """Nothing to keep: the row that the hint names says what is to be done."""

    def requeue(self, messages: Iterable[MessageProxy]) -> None:
        for message in messages:
            self._queue.put(message._message.encode())


def make_broker(url: str | None) -> dramatiq.Broker:
    """The broker that ``url`` names: ``amqp(s)://`` RabbitMQ, ``redis(s)://`` Redis, None queues within this process.

    Nothing is connected yet. Raises ConfigurationError without repeating the URL, which may hold a password.
    """
    if url is None:
        return MemoryBroker()
    scheme = urlsplit(url).scheme
    try:
        if scheme in ("amqp", "amqps"):
            return _rabbitmq(url)
        if scheme in ("redis", "rediss"):
            return _redis(url)
    except (ValueError, TypeError):
        pass  # a port that is no number, say
    raise ConfigurationError(
        "BROKER_URL cannot be understood.",
        remedy="Write it as amqp://user:password@host:5672 or redis://:password@host:6379/0.",
        code="bad_broker_url",
    )


def _rabbitmq(url: str) -> dramatiq.Broker:
    parts = urlsplit(url)
    query = f"{parts.query}&" if parts.query else ""
    options = f"heartbeat={_HEARTBEAT_S}&socket_timeout={_CONNECT_S}&blocked_connection_timeout={_HEARTBEAT_S}"
    whole = urlunsplit(parts._replace(path=parts.path or "/", query=query + options))
    # Only a confirmed delivery tells that a queue is gone and has to be declared again.
    return RabbitmqBroker(url=whole, middleware=[], confirm_delivery=True)


def _redis(url: str) -> dramatiq.Broker:
    made: dramatiq.Broker = RedisBroker(  # type: ignore[no-untyped-call]
        url=url, middleware=[], namespace="syncline", heartbeat_timeout=_REDIS_HEARTBEAT_MS, dead_message_ttl=1000
    )
    return made


def probe(broker: dramatiq.Broker) -> None:
    """Talk to the broker once. Raises TransientError where it does not answer, ConfigurationError where it refuses the login."""
    try:
        if isinstance(broker, RabbitmqBroker):
            _ = broker.channel
        elif isinstance(broker, RedisBroker):
            broker.client.ping()
    except (redis.AuthenticationError, pika.exceptions.ProbableAuthenticationError):
        raise ConfigurationError(
            "The broker refuses the login in BROKER_URL.", remedy="Check user and password.", code="broker_refused"
        ) from None
    except UNREACHABLE:
        raise unreachable() from None


def unreachable() -> TransientError:
    """What to tell when a broker does not answer. Drivers' own texts quote addresses and logins: they are not repeated."""
    return TransientError(
        "The broker cannot be reached.",
        remedy="Check BROKER_URL and whether the broker runs; nothing is lost meanwhile.",
        code="broker_unreachable",
    )


UNREACHABLE = (BrokerConnectionError, redis.RedisError, pika.exceptions.AMQPError, OSError)
"""What dramatiq and its drivers raise while a message is sent and the broker does not answer."""
