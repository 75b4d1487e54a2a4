"""The wall clock of one host, which can be stepped while its processes run.

libfaketime 0.9.10 cannot: with ``FAKETIME_DONT_FAKE_MONOTONIC`` the ``time.sleep`` of Python 3.11
raises OSError, and without it the monotonic clock steps too, which no clock does.
"""

from __future__ import annotations

import shutil
import struct
import subprocess
from pathlib import Path

SOURCE = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
static volatile const long *offset;
__attribute__((constructor)) static void open_offset(void) {
    int handle = open(getenv("FAULTS_CLOCK"), O_RDONLY);
    if (handle < 0) return;
    void *at = mmap(0, sizeof(long), PROT_READ, MAP_SHARED, handle, 0);
    if (at != MAP_FAILED) offset = at;
    close(handle);
}
int clock_gettime(clockid_t id, struct timespec *at) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    int found = real(id, at);
    if (!found && offset && id == CLOCK_REALTIME) at->tv_sec += *offset;
    return found;
}
int gettimeofday(struct timeval *restrict at, void *restrict zone) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    at->tv_sec = now.tv_sec, at->tv_usec = now.tv_nsec / 1000;
    return 0;
}
time_t time(time_t *at) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (at) *at = now.tv_sec;
    return now.tv_sec;
}
"""


class Clock:
    """A wall clock; a process has it if it starts with its `environment`."""

    def __init__(self, folder: Path) -> None:
        self._offset, self._library = folder / "clock", folder / "clock.so"
        self.can_step = shutil.which("gcc") is not None
        if self.can_step:
            self.step_to(0)
            (folder / "clock.c").write_text(SOURCE)
            command = ["gcc", "-shared", "-fPIC", "-O1", "-o", str(self._library)]
            subprocess.run([*command, str(folder / "clock.c"), "-ldl"], check=True)

    def environment(self) -> dict[str, str]:
        """Return the variables with which a process starts to have this clock."""
        if not self.can_step:
            return {}
        return {"LD_PRELOAD": str(self._library), "FAULTS_CLOCK": str(self._offset)}

    def step_to(self, seconds: int) -> None:
        """Have the clock show the true time and so many seconds more."""
        with self._offset.open("r+b" if self._offset.exists() else "wb") as file:
            file.write(struct.pack("l", seconds))
