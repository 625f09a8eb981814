"""HTTP libraries log addresses with their query strings, and headers. Queries hold filters with personal values, so these
loggers say nothing in this product at any level; `contract.CallRecord` tells what there is to tell.
"""

from __future__ import annotations

import logging

_LOUD = (
    "httpx",
    "httpcore.connection",
    "httpcore.http11",
    "httpcore.http2",
    "httpcore.proxy",
    "httpcore.socks",
    "urllib3.connection",
    "urllib3.connectionpool",
    "urllib3.poolmanager",
    "urllib3.response",
    "urllib3.util.retry",
)


def _drop(_record: logging.LogRecord) -> bool:
    return False


def silence_http_libraries() -> None:
    """Drop every record of the HTTP libraries' loggers. Filters stay when logging is configured anew, levels would not."""
    for name in _LOUD:
        logger = logging.getLogger(name)
        if _drop not in logger.filters:
            logger.addFilter(_drop)
