"""Processes that the benchmark starts, and what they cost: CPU time and memory, read from /proc."""

from __future__ import annotations

import contextlib
import itertools
import os
import pathlib
import random
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

TICKS = os.sysconf("SC_CLK_TCK")

# How long a process may take until it is ready, and how long it may take to end when asked politely.
READY_WITHIN = 30.0
END_WITHIN = 5.0

# Ports that `free_port` has returned.
_given: set[int] = set()

# Makes the names of logs distinct.
_numbers = itertools.count()


class BenchError(Exception):
    """Something the person at the keyboard has to know: a tool that is missing, a peer that did not start."""


@dataclass
class Peer:
    """A process of ours with all its descendants, which are counted and ended together with it.

    `name` is what the report calls it ("sshd"), `side` is where it would run: "edge", "client" or "origin".
    """

    name: str
    side: str
    process: subprocess.Popen
    log: pathlib.Path
    _seen: dict[int, str | None] = field(default_factory=dict)

    @classmethod
    def start(
        cls, name: str, side: str, command: list, folder: pathlib.Path, env: dict | None = None
    ) -> Peer:
        """Starts `command` in a session of its own; its output goes to a log in `folder`."""
        log = folder / f"{name.replace(' ', '-')}-{next(_numbers)}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [str(word) for word in command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**os.environ, **(env or {})},
                cwd=folder,
                start_new_session=True,
            )
        return cls(name, side, process, log, {process.pid: _born(process.pid)})

    def tree(self) -> set[int]:
        """The ids of the process and its descendants now."""
        return self.remember(_children())

    def wait_until(self, ready: Callable[[], bool], what: str) -> None:
        """Waits until `ready()` holds; raises when the process ends first or takes too long."""
        deadline = time.monotonic() + READY_WITHIN
        while not ready():
            code = self.process.poll()
            if code is not None:
                raise BenchError(f"{self.name} ended with status {code} before {what}\n{self.tail()}")
            if time.monotonic() > deadline:
                raise BenchError(f"{self.name}: {what} did not happen in {READY_WITHIN:.0f} s\n{self.tail()}")
            time.sleep(0.02)

    def tail(self) -> str:
        """The last lines of what it printed."""
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return "\n".join(text.splitlines()[-12:])

    def remember(self, children: dict[int, list[int]]) -> set[int]:
        """Notes who belongs to this peer; returns the ids that do now."""
        pids, queue = set(), [self.process.pid]
        while queue:
            pid = queue.pop()
            pids.add(pid)
            queue.extend(child for child in children.get(pid, []) if child not in pids)
        self._seen.update({pid: _born(pid) for pid in pids if pid not in self._seen})
        return pids

    def alive(self) -> list[int]:
        """Those of the processes seen so far that still run; an id that was given to a stranger is not ours."""
        self.process.poll()
        return [pid for pid, born in self._seen.items() if born and _born(pid) == born]


def stop_all(peers: list[Peer]) -> None:
    """Ends peers and all their descendants, and waits until they are gone."""
    # Children of sshd survive their listener: remember them before it goes.
    children = _children()
    for peer in peers:
        peer.remember(children)
    for sign in (signal.SIGTERM, signal.SIGKILL):
        for pid in [pid for peer in peers for pid in peer.alive()]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, sign)
        deadline = time.monotonic() + END_WITHIN
        while time.monotonic() < deadline:
            if not any(peer.alive() for peer in peers):
                return
            time.sleep(0.02)


def cpu_seconds(pids: Iterable[int]) -> float:
    """User and system time of the processes, and of children of theirs that have ended and been waited for."""
    ticks = 0
    for pid in pids:
        if fields := _stat(pid):
            ticks += sum(int(field) for field in fields[11:15])
    return ticks / TICKS


def memory(pids: Iterable[int]) -> dict[str, float]:
    """MiB of the processes together: `rss`, `pss` (a page shared by n processes counts as 1/n of a page), and
    `anon`, the part of PSS that is no file: it does not shrink when more processes run the same program."""
    rows = {"rss": "Rss", "pss": "Pss", "anon": "Pss_Anon"}
    total = dict.fromkeys(rows, 0)
    for pid in pids:
        with contextlib.suppress(OSError):
            text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
            kib = dict(line.split()[:2] for line in text.splitlines()[1:])
            for name, row in rows.items():
                total[name] += int(kib.get(f"{row}:", 0))
    return {name: kib / 1024 for name, kib in total.items()}


class Meter:
    """CPU time of a set of peers over a stretch of work, and how much of the machine others used meanwhile."""

    def __init__(self, peers: list[Peer]) -> None:
        self._peers = peers
        self._trees = [(peer.name, peer.tree()) for peer in peers]
        self._own = os.times()
        self._machine = _machine_busy()
        self._began = time.monotonic()
        self._before = [cpu_seconds(pids) for _, pids in self._trees]

    def stop(self) -> tuple[dict[str, float], float]:
        """CPU seconds per process name, and the share of all cores that neither they nor the load took."""
        trees = [peer.tree() for peer in self._peers]
        used: dict[str, float] = {}
        for (name, _), pids, before in zip(self._trees, trees, self._before, strict=True):
            used[name] = used.get(name, 0.0) + cpu_seconds(pids) - before
        elapsed = time.monotonic() - self._began
        own = sum(os.times()[:4]) - sum(self._own[:4])
        foreign = _machine_busy() - self._machine - own - sum(used.values())
        return used, max(0.0, foreign / (elapsed * (os.cpu_count() or 1)))


def free_port() -> int:
    """A port that is free on both loopback addresses and was not given out before."""
    # Below the ports that the kernel gives to outgoing connections: those take one between look and use.
    end = int(pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    for _ in range(1000):
        port = random.randrange(min(10000, end // 2), end)
        if port not in _given and _can_bind(socket.AF_INET, "127.0.0.1", port):
            if not _can_bind(socket.AF_INET6, "::1", 0) or _can_bind(socket.AF_INET6, "::1", port):
                _given.add(port)
                return port
    raise BenchError("no free port on the loopback addresses")


def listening_ports() -> set[int]:
    """All TCP ports on which this machine listens: asking the kernel opens no connection through a tunnel."""
    ports = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with contextlib.suppress(OSError):
            for line in pathlib.Path(table).read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == "0A":
                    ports.add(int(fields[1].rpartition(":")[2], 16))
    return ports


def _can_bind(family: int, address: str, port: int) -> bool:
    with contextlib.suppress(OSError), socket.socket(family) as probe:
        probe.bind((address, port))
        return True
    return False


def _children() -> dict[int, list[int]]:
    """The ids of the children of every process."""
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit() and (fields := _stat(int(entry))):
            children.setdefault(int(fields[1]), []).append(int(entry))
    return children


def _stat(pid: int) -> list[str] | None:
    """The fields of /proc/PID/stat from the third (state) on, or None when the process is gone."""
    try:
        text = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    return text.rpartition(")")[2].split()


def _born(pid: int) -> str | None:
    """When the process was started, in ticks since boot; None when it is gone or only waits to be reaped."""
    fields = _stat(pid)
    return fields[19] if fields and fields[0] != "Z" else None


def _machine_busy() -> float:
    """Seconds that all cores together were busy since boot, time stolen by the hypervisor included."""
    first = pathlib.Path("/proc/stat").read_text().splitlines()[0].split()[1:9]
    user, nice, system, _idle, _iowait, irq, softirq, steal = (int(field) for field in first)
    return (user + nice + system + irq + softirq + steal) / TICKS
