"""Lua scripts on Redis, run by their digest, and transactions for servers that refuse scripts.

A script is sent to each server once. Further calls send only its digest of 40 characters, which is
also all that a trace of the client shows.

Not every server runs scripts: a user may lack the right to EVALSHA, EVAL or SCRIPT LOAD, and a fake
Redis may have no Lua. `run_script` then tries EVAL with the whole text; if that is refused, too, it
raises `ScriptsRefused`, and the caller uses plain commands. Either result is remembered for each
connection pool, for `RETRY_SECONDS`: so a refusal costs a round trip only once, and consumers need
no restart after an administrator has granted the right.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

T = TypeVar("T")

RETRY_SECONDS = 300.0
"""Seconds for which a refusal is remembered for a connection pool."""

_MAX_ATTEMPTS = 50
_EVAL, _NONE = "eval", "none"

_refusals: WeakKeyDictionary[Any, tuple[str, float]] = WeakKeyDictionary()
"""For each connection pool, the replacement of EVALSHA (`_EVAL` or `_NONE`), and its end."""

_REFUSED = re.compile(
    r"(unknown command|no permissions? to run)\W.{0,20}?\b(evalsha|eval|script)(\||\W|$)"
    r"|\b(lua|scripts?|scripting|eval|evalsha)\b.*\b(not (allowed|supported)|unsupported|disabled)"
    r"|\b(not (allowed|supported)|unsupported|disabled)\b.*\b(lua|scripting|eval|evalsha)\b",
    re.IGNORECASE,
)
# The script ran, but a command in it was refused, so the same plain command would be refused, too.
_INSIDE_A_SCRIPT = re.compile(r"in script|running script|user_script|^script tried", re.IGNORECASE)


class ScriptsRefused(Exception):
    """The server runs no scripts for this user."""


class ContendedError(RuntimeError):
    """Other clients changed the watched keys during every attempt of a transaction."""


class Script:
    """A Lua script and the digest by which a server knows it."""

    __slots__ = ("sha", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self.sha = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


def run_script(conn: Any, script: Script, keys: Sequence[Any], *args: Any) -> Any:
    """Run `script` in one round trip; the first call on a server takes three.

    Args:
        conn: The Redis client.
        script: The script.
        keys: The keys that the script uses.
        *args: The arguments of the script after the keys.

    Raises:
        ScriptsRefused: The server runs no scripts, as this call or an earlier one has shown.
    """
    refusal = _refusals.get(_pool(conn))
    if refusal is None:
        try:
            return conn.evalsha(script.sha, len(keys), *keys, *args)
        except Exception as exc:
            return _run_after(exc, conn, script, keys, args)
    replacement, until = refusal
    if time.monotonic() >= until:
        _refusals.pop(_pool(conn), None)
        return run_script(conn, script, keys, *args)
    if replacement is _NONE:
        raise ScriptsRefused("the server runs no scripts for this user")
    return _run_text(conn, script, keys, args)


def transact(conn: Any, keys: Sequence[Any], change: Callable[[Any], T]) -> T:
    """Run `change` as an optimistic transaction (WATCH, MULTI, EXEC); return its result.

    Args:
        conn: The Redis client.
        keys: The keys to watch.
        change: Called with a pipeline, on which it reads, then calls ``multi()`` and queues
            commands; if it queues none, nothing is changed. It is called again if other clients
            wrote to the keys meanwhile.

    Raises:
        ContendedError: Other clients wrote to the keys during every attempt.
    """
    for _ in range(_MAX_ATTEMPTS):
        with conn.pipeline() as pipe:
            pipe.watch(*keys)
            answer = change(pipe)
            if not pipe.command_stack:
                return answer
            try:
                pipe.execute()
            except Exception as exc:
                if type(exc).__name__ != "WatchError":
                    raise
            else:
                return answer
    raise ContendedError(
        f"{keys[0]!r} in Redis was changed by other clients during each of {_MAX_ATTEMPTS} "
        "transactions. Try again later, or let this Redis user run scripts (EVALSHA and SCRIPT "
        "LOAD)"
    )


def _pool(conn: Any) -> Any:
    return getattr(conn, "connection_pool", conn)


def _run_text(conn: Any, script: Script, keys: Sequence[Any], args: Sequence[Any]) -> Any:
    return conn.eval(script.text, len(keys), *keys, *args)


def _run_after(
    error: Exception, conn: Any, script: Script, keys: Sequence[Any], args: Sequence[Any]
) -> Any:
    """Run `script` after EVALSHA failed with `error`: load the script, or send its text.

    Any other error is raised again.
    """
    is_missing = _is_missing(error)
    if not (is_missing or _is_refusal(error)):
        raise error
    if is_missing:
        try:
            conn.script_load(script.text)
        except Exception as exc:
            if not _is_refusal(exc):
                raise
        else:
            return conn.evalsha(script.sha, len(keys), *keys, *args)
    try:
        answer = _run_text(conn, script, keys, args)
    except Exception as exc:
        if not _is_refusal(exc):
            raise
        _remember(conn, _NONE)
        raise ScriptsRefused(str(exc)) from exc
    if not is_missing:
        _remember(conn, _EVAL)
    return answer


def _remember(conn: Any, replacement: str) -> None:
    _refusals[_pool(conn)] = replacement, time.monotonic() + RETRY_SECONDS


# Errors are recognised by name and text, because this package does not import redis.
def _is_missing(exc: Exception) -> bool:
    return type(exc).__name__ == "NoScriptError" or str(exc).startswith("NOSCRIPT")


def _is_refusal(exc: Exception) -> bool:
    if isinstance(exc, NotImplementedError):
        return True
    if not any(cls.__name__ == "ResponseError" for cls in type(exc).__mro__):
        return False
    text = str(exc)
    return _REFUSED.search(text) is not None and _INSIDE_A_SCRIPT.search(text) is None
