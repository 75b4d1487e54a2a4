"""All that the command line asks of Redis itself."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from redis import Redis, RedisError
from redis.backoff import NoBackoff
from redis.retry import Retry

from .exits import CommandError, WrongUse

_EXAMPLE = "redis://localhost:6379/0"
_SCHEMES = ("redis://", "rediss://", "unix://")
_SECONDS = 5


def masked(url: str) -> str:
    """*url* without user, password and token, to be shown."""
    before, at, host = url.rpartition("@")
    scheme = re.match(r"\w*://", before)
    shown = f"{scheme.group() if scheme else ''}***@{host}" if at else url
    return re.sub(r"([?&](?:username|password)=)[^&#]*", r"\1***", shown)


def check(url: str) -> None:
    """`WrongUse` unless a Redis answers at *url*, which its message names without a password."""
    if not url.startswith(_SCHEMES):
        raise WrongUse(f"{masked(url)!r} is no URL of a Redis; write it like {_EXAMPLE}")
    try:
        with _connected(url) as redis:
            redis.ping()
    except (ValueError, TypeError):
        # Their text may have parts of the password.
        raise WrongUse(f"cannot read the URL {masked(url)!r}; write it like {_EXAMPLE}") from None
    except RedisError as exc:
        reason = str(exc).strip().rstrip(".") or type(exc).__name__
        raise WrongUse(
            f"cannot use the Redis at {masked(url)} ({reason}); start it, or give another URL"
        ) from None


def delete_keys(url: str, name: str) -> None:
    """Delete every key that has *name* in it, a batch at a time."""
    with _connected(url) as redis:
        for key in redis.scan_iter(match=f"*{name}*", count=1000):
            redis.delete(key)


@contextmanager
def storage_errors(url: str | None, advice: str) -> Iterator[None]:
    """A Redis that fails in the middle of work ends the command, with *advice*."""
    try:
        yield
    except RedisError as exc:
        where = masked(url) if url else "its URL"
        raise CommandError(f"the Redis at {where} failed ({exc}); {advice}") from None


def _connected(url: str) -> Redis:
    return Redis.from_url(
        url,
        socket_connect_timeout=_SECONDS,
        socket_timeout=_SECONDS,
        retry=Retry(NoBackoff(), 0),
    )
