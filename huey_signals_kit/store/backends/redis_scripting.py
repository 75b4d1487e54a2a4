"""Runs Lua scripts on Redis by their digest, and detects servers that refuse scripts.

A script is sent to each server once. Further calls send only its digest of 40 characters, which is
also all that a trace of the client shows. A user may lack the right to run scripts, and a fake
Redis may have no Lua: then `ScriptsRefused` is raised, and the caller uses plain commands.
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

_MOST_ATTEMPTS = 50
_BY_TEXT, _NOT_AT_ALL = "eval", "none"

_refusals: WeakKeyDictionary[Any, tuple[str, float]] = WeakKeyDictionary()
"""By connection pool: how scripts run instead of EVALSHA, and until when this is remembered."""

_REFUSED = re.compile(
    r"(unknown command|no permissions? to run)\W.{0,20}?\b(evalsha|eval|script)(\||\W|$)"
    r"|\b(lua|scripts?|scripting|eval|evalsha)\b.*\b(not (allowed|supported)|unsupported|disabled)"
    r"|\b(not (allowed|supported)|unsupported|disabled)\b.*\b(lua|scripting|eval|evalsha)\b",
    re.IGNORECASE,
)
# The script ran, but a command in it was refused: plain commands would be refused as well.
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
    way = _refusals.get(_pool(conn))
    if way is None:
        try:
            return conn.evalsha(script.sha, len(keys), *keys, *args)
        except Exception as exc:
            return _run_after(exc, conn, script, keys, args)
    instead, until = way
    if time.monotonic() >= until:
        del _refusals[_pool(conn)]
        return run_script(conn, script, keys, *args)
    if instead is _NOT_AT_ALL:
        raise ScriptsRefused("the server runs no scripts for this user")
    return _run_text(conn, script, keys, args)


def run_script_often(
    conn: Any, script: Script, keys: Sequence[Any], calls: Sequence[tuple[Any, ...]]
) -> list[Any]:
    """Run `script` once for each tuple of arguments in `calls`, in one round trip."""
    if _refusals.get(_pool(conn)) is not None:
        return [run_script(conn, script, keys, *args) for args in calls]
    pipe = conn.pipeline(transaction=False)
    for args in calls:
        pipe.evalsha(script.sha, len(keys), *keys, *args)
    answers = pipe.execute(raise_on_error=False)
    for place, args in enumerate(calls):
        if isinstance(answers[place], Exception):
            if not (_is_missing(answers[place]) or _is_refusal(answers[place])):
                raise answers[place]
            answers[place] = run_script(conn, script, keys, *args)
    return list(answers)


def runs_scripts(conn: Any) -> bool:
    """Return whether the server runs scripts for this user, in one round trip."""
    try:
        run_script(conn, _PROBE, ())
    except ScriptsRefused:
        return False
    return True


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
    for _ in range(_MOST_ATTEMPTS):
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
        f"{keys[0]!r} in Redis was changed by other clients during each of {_MOST_ATTEMPTS} "
        "transactions. Try again later, or let this Redis user run scripts (EVALSHA and SCRIPT "
        "LOAD)"
    )


_PROBE = Script("return 1")


def _pool(conn: Any) -> Any:
    return getattr(conn, "connection_pool", conn)


def _run_text(conn: Any, script: Script, keys: Sequence[Any], args: Sequence[Any]) -> Any:
    return conn.eval(script.text, len(keys), *keys, *args)


def _run_after(
    problem: Exception, conn: Any, script: Script, keys: Sequence[Any], args: Sequence[Any]
) -> Any:
    """Run `script` after EVALSHA failed: load it, or send its text; else raise `problem`."""
    missing = _is_missing(problem)
    if not (missing or _is_refusal(problem)):
        raise problem
    if missing:
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
        _remember(conn, _NOT_AT_ALL)
        raise ScriptsRefused(str(exc)) from exc
    if not missing:
        _remember(conn, _BY_TEXT)
    return answer


def _remember(conn: Any, instead: str) -> None:
    _refusals[_pool(conn)] = instead, time.monotonic() + RETRY_SECONDS


# By name and text: this package does not import redis.
def _is_missing(exc: Exception) -> bool:
    return type(exc).__name__ == "NoScriptError" or str(exc).startswith("NOSCRIPT")


def _is_refusal(exc: Exception) -> bool:
    if isinstance(exc, NotImplementedError):
        return True
    if not any(each.__name__ == "ResponseError" for each in type(exc).__mro__):
        return False
    text = str(exc)
    return _REFUSED.search(text) is not None and _INSIDE_A_SCRIPT.search(text) is None
