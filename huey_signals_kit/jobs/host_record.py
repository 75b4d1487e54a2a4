"""Write a small file for each process that works on a queue, for ``huey-signals health --here``.

A health check must also work while the storage is unreachable, and must notice a process that
hangs. So each process writes a file of its own every ten seconds, on a thread that has no other
work: if the file gets old, the process has run no Python code. The folder is
``HUEY_SIGNALS_RUN_DIR``, by default ``huey-signals-UID`` in the folder for temporary files. If the
folder cannot be written, there is no file, and no error is reported.

The folder for temporary files is writable by all users, so the reader and the writer both expect
hostile files: by default only the folder of the own user is used (root also reads the others), a
file is never written through a link, and only regular files of bounded size are read.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import stat
import sys
import tempfile
import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any
from weakref import ref

from ..runtime.fork import reset_in_child
from ..runtime.process_id import ProcessId, parse_process, process_with_pid, this_process
from ..runtime.scheduler import scheduler
from ..runtime.threads import forward_interrupt, start_thread

RUN_DIR = "HUEY_SIGNALS_RUN_DIR"
WRITE_SECONDS = 10.0
_PROCESS_FIELDS = ("host", "space", "pid", "born")
"""The stored names of the fields of `ProcessId`, which other versions read."""
_SUFFIX = ".json"
_MAX_BYTES = 1 << 20
_EXPIRED_SECONDS = 3600.0
"""A file of another container is removed at this age; a living process writes it again."""
_READ_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_own_files: dict[int, int] = {}
"""The number of the last file by process id; each kit of a process has a file of its own."""


@dataclass(frozen=True)
class HostRecord:
    """The state of one process, written for readers on the same host."""

    queue: str
    """The name of the Huey."""
    names: tuple[str, ...]
    """Module attributes that are the Huey, as ``package.module.attribute``."""
    place: ProcessId
    """The process itself."""
    worker: str
    """The kind of worker, as in `ledger.Heartbeat`."""
    parent: ProcessId | None
    """The consumer that forked the process; None for the consumer itself."""
    at: float
    """When the record was written, in seconds of the monotonic clock, which is one per host."""
    idle_since: float | None
    """When the last worker of the process ended, by the same clock; None while a worker runs."""
    folder: str
    """The working folder of the process; projects in other folders may have the same names."""
    files: tuple[str, ...] = ()
    """The file of the module of each of `names`, without links; empty if there is none."""
    storage: str = ""
    """The storage of the Huey, see `storage_of`; two projects may have queues of the same name."""


class HostRecordWriter:
    """The writer of one kit's file, from the first worker's start to the end of the process."""

    def __init__(self, huey: Any) -> None:
        self._huey = huey
        self._parent = process_with_pid(os.getppid())
        self._begin()
        reset_in_child(self)

    def _after_fork(self) -> None:
        # The system is not asked: if the parent has ended, it names another one by now.
        self._parent = self._process
        self._begin()

    def _begin(self) -> None:
        self._process = this_process()
        self._worker = ""
        self._workers: dict[int, ref[threading.Thread]] = {}
        self._idle_since: float | None = None
        self._names: tuple[str, ...] | None = None
        self._files: tuple[str, ...] = ()
        self._storage = ""
        self._path: Path | None = None
        self._is_folder_ready = False
        self._started: dict[str, object] = {}
        self._stopped = threading.Event()

    def start(self, worker: str) -> None:
        """Write the file from now on; the first call starts the thread.

        Args:
            worker: The kind of worker, as in `ledger.Heartbeat`, or ``"scheduler"``. Unless it
                is ``"scheduler"``, the calling thread is the worker.
        """
        self._worker = worker
        if worker != "scheduler":
            self._workers[threading.get_ident()] = ref(threading.current_thread())
        claim = object()
        # setdefault is atomic, and needs no lock, which gevent might patch later.
        if self._started.setdefault("thread", claim) is claim:
            # Here, because it imports: a process must not fork while another thread of it imports.
            self._storage = storage_of(self._huey)
            self._stopped = threading.Event()
            scheduler.on_exit(self.stop)
            thread = threading.Thread(target=self._run, name="huey-signals-host", daemon=True)
            with suppress(RuntimeError):  # no thread can be started
                start_thread(thread)

    def on_worker_stop(self) -> None:
        """Note that the worker of this thread ends."""
        self._workers.pop(threading.get_ident(), None)

    def stop(self) -> None:
        """Stop writing, and remove the file."""
        self._stopped.set()
        self._started = {}
        if self._path is not None:
            with suppress(OSError):
                self._path.unlink()

    def _run(self) -> None:
        stopped = self._stopped
        while not stopped.is_set():
            try:
                self._write()
            except KeyboardInterrupt as exc:
                if not forward_interrupt(exc):
                    raise
            except (OSError, ValueError):
                self._is_folder_ready = False  # it may have been removed, and made by another user
            stopped.wait(WRITE_SECONDS)

    def _write(self) -> None:
        path = self._path
        if path is None or not self._is_folder_ready:
            folder = prepare_own_folder()
            if path is None:
                number = _own_files[os.getpid()] = _own_files.get(os.getpid(), -1) + 1
                path = self._path = folder / _file_name(number)
            self._is_folder_ready = True
            _remove_dead(folder)
        new_path = path.with_suffix(".new")
        new_path.unlink(missing_ok=True)
        # Only as a new file: in a folder that all users can write, the name could be a link.
        with new_path.open("x", encoding="ascii") as file:
            file.write(json.dumps(_as_json(self._record())))
        new_path.replace(path)
        if self._stopped.is_set():
            path.unlink()

    def _record(self) -> HostRecord:
        if self._names is None:
            self._names = tuple(sorted(_names_of(self._huey)))
            self._files = tuple(map(file_of, self._names))
        if self._worker == "scheduler" or self._has_worker():
            self._idle_since = None
        elif self._idle_since is None:
            self._idle_since = time.monotonic()
        forked = multiprocessing.parent_process() is not None
        return HostRecord(
            queue=str(self._huey.name),
            names=self._names,
            place=self._process,
            worker=self._worker,
            parent=self._parent if forked else None,
            at=time.monotonic(),
            idle_since=self._idle_since,
            folder=working_folder(),
            files=self._files,
            storage=self._storage,
        )

    def _has_worker(self) -> bool:
        threads = [thread() for thread in list(self._workers.values())]
        return any(thread is not None and thread.is_alive() for thread in threads)


def _names_of(huey: Any) -> Iterator[str]:
    """Yield the module attributes of this process that are the Huey."""
    for name, module in list(sys.modules.items()):
        with suppress(Exception):  # sys.modules may hold objects that are no modules
            for attribute, value in list(vars(module).items()):
                if value is huey:
                    yield f"{name}.{attribute}"


def file_of(name: str) -> str:
    """Return the file of the imported module of ``module.attribute``, without links, or ""."""
    file = getattr(sys.modules.get(name.rpartition(".")[0]), "__file__", None)
    return os.path.realpath(file) if isinstance(file, str) else ""


def storage_of(huey: Any) -> str:
    """Return the kind and the place of the storage of `huey`; empty if it is not known."""
    from ..store.failures import describe_storage

    try:
        return "" if huey.immediate else describe_storage(huey.storage)
    except Exception:  # of a storage class of the user's
        return ""


def working_folder() -> str:
    """Return the folder that this process works in, empty if it is gone."""
    try:
        return os.getcwd()
    except OSError:
        return ""


def _file_name(number: int) -> str:
    # Processes of two containers that share the folder may have the same process id.
    process = this_process()
    container = zlib.crc32(f"{process.host} {process.pid_namespace}".encode(errors="replace"))
    return f"{process.pid}-{number}-{container:08x}{_SUFFIX}"


def prepare_own_folder() -> Path:
    """Return the folder of this user's files, and create it if it is missing.

    Raises:
        OSError: The folder cannot be created, or belongs to another user.
    """
    folder = _folder(os.geteuid())
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not os.environ.get(RUN_DIR) and not _belongs_to(folder, os.geteuid()):
        raise PermissionError(f"{folder} belongs to another user")
    return folder


def record_folders() -> list[Path]:
    """Return the folders to read: this user's folder; for root the folders of all users.

    Raises:
        OSError: There is no folder for temporary files.
    """
    own = _folder(os.geteuid())
    if os.environ.get(RUN_DIR) or os.geteuid() != 0:
        return [own]
    others = (path for path in sorted(own.parent.glob("huey-signals-*")) if path != own)
    return [own, *others]


def is_unusable(folder: Path) -> bool:
    """Return whether a process of this user cannot write its file to `folder`."""
    if not os.environ.get(RUN_DIR) and os.path.lexists(folder):
        return not _belongs_to(folder, os.geteuid())
    # A writer makes missing folders, so the nearest existing folder decides.
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    return not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK)


def _belongs_to(folder: Path, uid: int) -> bool:
    # In a folder that all users can write, another user may have made this name.
    with suppress(OSError):
        status = folder.lstat()
        return stat.S_ISDIR(status.st_mode) and status.st_uid == uid
    return False


def _folder(uid: int) -> Path:
    path = os.environ.get(RUN_DIR)
    return Path(path) if path else Path(tempfile.gettempdir(), f"huey-signals-{uid}")


def read_records() -> list[HostRecord]:
    """Return the records of the processes of this host, without files that cannot be read.

    Raises:
        OSError: There is no folder for temporary files.
    """
    folders = filter(_is_trusted, record_folders())
    records = (_read(file) for folder in folders for file in _files(folder))
    return [record for record in records if record is not None]


def _is_trusted(folder: Path) -> bool:
    """Return whether only the user that `folder` is named after can write to it."""
    if os.environ.get(RUN_DIR):
        return True
    uid = folder.name.rpartition("-")[2]
    return uid.isdecimal() and _belongs_to(folder, int(uid))


def _files(folder: Path) -> list[Path]:
    with suppress(OSError):
        return sorted(folder.glob(f"*{_SUFFIX}"))
    return []


def _read(file: Path) -> HostRecord | None:
    """Return the record in a file; None if the file was just removed, or has no record."""
    try:
        content = json.loads(_text(file))
        parent, idle = content["parent"], content["idle_since"]
        return HostRecord(
            queue=str(content["queue"]),
            names=tuple(map(str, content["names"])),
            place=_process(content["place"]),
            worker=str(content["worker"]),
            parent=None if parent is None else _process(parent),
            at=float(content["at"]),
            idle_since=None if idle is None else float(idle),
            folder=str(content["folder"]),
            files=tuple(map(str, content.get("files", ()))),
            storage=str(content.get("storage", "")),
        )
    except (OSError, ValueError, TypeError, LookupError, OverflowError, RecursionError):
        return None


def _text(file: Path) -> bytes:
    # Another user may have put a link, a pipe or a huge file there.
    with open(os.open(file, _READ_FLAGS), "rb") as opened:
        if not stat.S_ISREG(os.fstat(opened.fileno()).st_mode):
            raise ValueError("not a regular file")
        return opened.read(_MAX_BYTES)


def _as_json(record: HostRecord) -> dict[str, Any]:
    parent = record.parent
    return {
        **vars(record),
        "place": _process_as_json(record.place),
        "parent": None if parent is None else _process_as_json(parent),
    }


def _process_as_json(process: ProcessId) -> dict[str, Any]:
    return dict(zip(_PROCESS_FIELDS, astuple(process), strict=True))


def _process(content: dict[str, Any]) -> ProcessId:
    return parse_process(*(content[name] for name in _PROCESS_FIELDS))


def _remove_dead(folder: Path) -> None:
    """Remove files of ended processes, and files that this process wrote before ``exec``."""
    own = {_file_name(number) for number in range(_own_files[os.getpid()] + 1)}
    for file in _files(folder):
        record = _read(file)
        if record is None or file.name in own:
            continue
        is_alive = record.place.is_alive()
        with suppress(OSError):
            if is_alive is None:
                is_alive = time.time() - file.stat().st_mtime <= _EXPIRED_SECONDS
            if not is_alive or record.place == this_process():
                file.unlink()
