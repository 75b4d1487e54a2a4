"""The demo's own access to a Redis; every other command uses the storage of its Huey."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from redis import Redis, RedisError
from redis.backoff import NoBackoff
from redis.retry import Retry

from .._shared.exits import CommandError, UsageError

_EXAMPLE = "redis://localhost:6379/0"
_SCHEMES = ("redis://", "rediss://", "unix://")
_TIMEOUT_SECONDS = 5


def mask_url(url: str) -> str:
    """Return `url` without user and password, to be shown.

    Unlike `redact`, which finds URLs in a text, this masks all before the last ``@``: a wrong URL
    may have spaces or no scheme.
    """
    before, at, host = url.rpartition("@")
    scheme = re.match(r"\w*://", before)
    masked = f"{scheme.group() if scheme else ''}***@{host}" if at else url
    return re.sub(r"([?&](?:username|password)=)[^&#]*", r"\1***", masked)


def validate_url(url: str) -> None:
    """Raise `UsageError` unless a Redis answers at `url`."""
    if not url.startswith(_SCHEMES):
        raise UsageError(f"{mask_url(url)!r} is not a URL of a Redis; write it like {_EXAMPLE}")
    try:
        with _connect(url) as redis:
            redis.ping()
    except (ValueError, TypeError):
        # The text of these errors may have parts of the password.
        raise UsageError(
            f"cannot read the URL {mask_url(url)!r}; write it like {_EXAMPLE}"
        ) from None
    except RedisError as exc:
        reason = str(exc).strip().rstrip(".") or type(exc).__name__
        raise UsageError(
            f"cannot use the Redis at {mask_url(url)} ({reason}); start it, or give another URL"
        ) from None


def delete_keys(url: str, name: str) -> None:
    """Delete every key that contains `name`, in batches."""
    with _connect(url) as redis:
        for key in redis.scan_iter(match=f"*{name}*", count=1000):
            redis.delete(key)


@contextmanager
def redis_errors(url: str | None, advice: str) -> Iterator[None]:
    """Turn a `RedisError` of the block into a `CommandError`.

    Args:
        url: The URL of the Redis; None if the block uses none.
        advice: What the failure may have left behind.
    """
    try:
        yield
    except RedisError as exc:
        where = mask_url(url) if url else "its URL"
        raise CommandError(f"the Redis at {where} failed ({exc}); {advice}") from None


def _connect(url: str) -> Redis:
    return Redis.from_url(
        url,
        socket_connect_timeout=_TIMEOUT_SECONDS,
        socket_timeout=_TIMEOUT_SECONDS,
        retry=Retry(NoBackoff(), 0),
    )
