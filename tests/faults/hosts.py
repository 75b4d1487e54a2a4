"""Hosts made of Linux namespaces: a name, process numbers and a network link of their own."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import SystemRandom

from tests.support import wait_until

ROOT = Path(__file__).parents[2]
END_WITH_THIS = ["setpriv", "--pdeathsig", "KILL"]
UNSHARE = [
    *END_WITH_THIS,
    "unshare",
    "--uts",
    "--pid",
    "--net",
    "--fork",
    "--kill-child",
    "--mount-proc",
]
# The first process of a host: it reaps the orphans, as an init does.
INIT = "import signal; signal.signal(signal.SIGCHLD, signal.SIG_IGN)\nwhile True: signal.pause()"


JOB = "FAULTS_JOB"
"""The environment variable that names the job to which a process belongs."""


def _job_of(pid: int) -> str:
    try:
        variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return ""
    name = f"{JOB}=".encode()
    return next((each[len(name) :].decode() for each in variables if each.startswith(name)), "")


def can_make_hosts() -> bool:
    """Return whether this user may make namespaces and network links."""
    if not all(map(shutil.which, ("setpriv", "unshare", "nsenter", "ip"))):
        return False
    test = [*UNSHARE, "ip", "link", "add", "test0", "type", "veth", "peer", "name", "test1"]
    return subprocess.run(test, capture_output=True).returncode == 0


def free_network() -> str:
    """Return the first three numbers of addresses that this machine does not use."""
    used = subprocess.run(["ip", "-4", "addr"], capture_output=True, text=True).stdout
    draw = SystemRandom()
    while (found := f"10.{draw.randint(128, 250)}.{draw.randint(0, 254)}") + "." in used:
        pass
    return found


@dataclass(frozen=True)
class Process:
    """A process of any host, as the kernel numbers it for this process."""

    pid: int
    pid_namespace: str
    """The pid namespace, as ``/proc/PID/ns/pid`` names it."""
    inner_pid: int
    """Its number on its host."""
    start_time: int
    """When it started, by the kernel's clock."""


def processes(spaces: set[str] | None = None) -> list[Process]:
    """List the processes in the given pid namespaces that can still run."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            pid_namespace = os.readlink(entry / "ns/pid")
            if spaces is not None and pid_namespace not in spaces:
                continue
            status = (entry / "status").read_text()
            state, *rest = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if state not in "ZX":
            numbers = status.partition("NSpid:")[2].split("\n")[0].split()
            found.append(Process(int(entry.name), pid_namespace, int(numbers[-1]), int(rest[18])))
    return found


@dataclass
class Host:
    """One host. `cut` takes its network link away, `heal` gives it back."""

    name: str
    number: int
    network: str
    """The first three numbers of the addresses, see `free_network`."""
    jobs: dict[str, Job] = field(default_factory=dict)

    @property
    def gateway(self) -> str:
        """The address of this machine on the link to the host."""
        return f"{self.network}.{16 * self.number + 1}"

    @property
    def link(self) -> str:
        """The name of this machine's end of the link."""
        return f"hf{os.getpid()}{self.name[0]}"

    def boot(self) -> None:
        """Start the host; one that was powered off gets a new pid namespace."""
        script = 'hostname "$0"; exec "$@"'
        command = [*UNSHARE, "bash", "-c", script, self.name, sys.executable, "-c", INIT]
        self._unshare = subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True)
        children = Path(f"/proc/{self._unshare.pid}/task/{self._unshare.pid}/children")
        self.init = int(wait_until(children.read_text, 10, "the first process").split()[0])
        self.pid_namespace = os.readlink(f"/proc/{self.init}/ns/pid")
        name = Path(f"/proc/{self.init}/cmdline")
        wait_until(lambda: b"SIGCHLD" in name.read_bytes(), 10, "the host to be up")
        ip = ["ip", "link", "add", self.link, "type", "veth", "peer", "name", "eth0"]
        subprocess.run([*ip, "netns", str(self.init)], check=True)
        subprocess.run(["ip", "addr", "add", f"{self.gateway}/28", "dev", self.link], check=True)
        subprocess.run(["ip", "link", "set", self.link, "up"], check=True)
        address = f"{self.network}.{16 * self.number + 2}/28"
        inner = f"ip addr add {address} dev eth0; ip link set eth0 up"
        subprocess.run([*self._enter, "bash", "-c", f"{inner}; ip link set lo up"], check=True)

    @property
    def _enter(self) -> list[str]:
        return ["nsenter", "-t", str(self.init), "--uts", "--pid", "--net", "--mount"]

    def run(self, job: Job) -> None:
        """Start *job*, and again whenever it has ended; see `step`."""
        self.jobs[job.name] = job
        self._start(job)

    def _start(self, job: Job) -> None:
        with job.log.open("ab") as output:
            job.process = subprocess.Popen(
                [*self._enter, *job.command],
                # Inside of another mount namespace the working directory is "/".
                env={**os.environ, "PYTHONPATH": str(ROOT), JOB: job.name, **job.environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        job.ended = None

    def step(self, now: float, pause: float = 2) -> None:
        """Start the jobs again that ended *pause* seconds ago."""
        for job in self.jobs.values():
            if job.process.poll() is None:
                continue
            if job.ended is None:
                job.ended, job.ends = now, job.ends + 1
            elif now - job.ended > pause:
                self._start(job)

    def cut(self) -> None:
        """Lose every packet from and to the host."""
        subprocess.run(["ip", "link", "set", self.link, "down"], check=True)

    def heal(self) -> None:
        """Let packets through again."""
        subprocess.run(["ip", "link", "set", self.link, "up"], check=True)

    def send(self, inner_pid: int, signum: signal.Signals) -> bool:
        """Send a signal to a process of the host; whether there was one."""
        for process in processes({self.pid_namespace}):
            if process.inner_pid == inner_pid:
                os.kill(process.pid, signum)
                if signum == signal.SIGCONT:  # an nsenter stops together with its child
                    for job in self.jobs.values():
                        job.process.send_signal(signum)
                return True
        return False

    def main_pid(self, job: str) -> int | None:
        """Return the number of the first process of a job, as the kernel numbers it here."""
        pid = self.jobs[job].process.pid
        try:
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        except OSError:
            return None
        return int(children[0]) if children else None

    def signal_job(self, job: str, signum: signal.Signals) -> None:
        """Send a signal to the first process of a job."""
        if (pid := self.main_pid(job)) is not None:
            with suppress(ProcessLookupError):
                os.kill(pid, signum)

    def kill_job(self, job: str) -> None:
        """Kill every process of a job, also those whose parent is gone."""
        self.kill_all(self.pids(job))

    def kill_all(self, pids: list[int]) -> None:
        """Kill these processes, as far as they run."""
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def pids(self, job: str) -> list[int]:
        """Return the processes of a job, as the kernel numbers them here."""
        return [each.pid for each in processes({self.pid_namespace}) if _job_of(each.pid) == job]

    def power_off(self) -> None:
        """Kill every process of the host at the same moment."""
        with suppress(ProcessLookupError):
            os.kill(self.init, signal.SIGKILL)
        for job in self.jobs.values():
            job.process.kill()
            job.process.wait(10)
        self._unshare.wait(10)
        subprocess.run(["ip", "link", "del", self.link], capture_output=True)
        time.sleep(0.2)


@dataclass
class Job:
    """A command that a host runs all the time."""

    name: str
    command: list[str]
    environment: dict[str, str]
    log: Path
    process: subprocess.Popen = field(init=False)
    ended: float | None = None
    ends: int = 0
