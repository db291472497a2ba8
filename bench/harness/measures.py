"""What is measured of one running contestant. Every function returns plain data for the result file."""

from __future__ import annotations

import json
import os
import pathlib
import re
import statistics
import subprocess
import time
from dataclasses import dataclass

from . import processes, visitor
from .contestants import Contestant
from .processes import BenchError, Meter

# The visitors whose full speed is measured, and those who keep to a fixed rate.
VISITORS = (1, 8, 32, 128)
PACED_VISITORS = 32

# The stalled-visitor case: what is asked for and not read, and what one more visitor then wants.
STALLED = 6
STALLED_BYTES = 512 << 20
BESIDE_BYTES = 16 << 20
BESIDE_REQUESTS = 500

# Idle tunnels that are dialled together; the next wave waits for them.
DIALS = 20

SCRIPT = pathlib.Path(__file__).with_name("wrk-address.lua")


@dataclass(frozen=True)
class Scale:
    """How long and how much; `QUICK` only shows that everything works."""

    rounds: int = 5
    warm_up_s: float = 1.0
    load_s: int = 5
    paced_s: float = 8.0
    bulk_bytes: int = 1 << 30
    websockets: int = 1000
    tunnels: int = 1000
    settle_s: float = 2.0


QUICK = Scale(
    rounds=1,
    warm_up_s=0.3,
    load_s=1,
    paced_s=1.0,
    bulk_bytes=64 << 20,
    websockets=50,
    tunnels=10,
    settle_s=0.5,
)


def full_speed(contestant: Contestant, visitors: int, scale: Scale) -> dict:
    """wrk on keep-alive connections: requests/s, and CPU microseconds per request of each process."""
    meter = Meter(contestant.peers)
    report = _wrk(contestant, visitors, scale.load_s)
    cpu, foreign = meter.stop()
    requests = int(_first(r"(\d+) requests in", report))
    errors = sum(int(count) for count in re.findall(r"(?:connect|read|write|timeout) (\d+)", report))
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", report)
    errors += int(refused[1]) if refused else 0
    if errors or not requests:
        raise BenchError(f"wrk with {visitors} visitors saw {errors} errors in {requests} requests")
    return {
        "rps": float(_first(r"Requests/sec:\s+([\d.]+)", report)),
        "p50_ms": _milliseconds(_first(r"\s50%\s+([\d.]+\w+)", report)),
        "p99_ms": _milliseconds(_first(r"\s99%\s+([\d.]+\w+)", report)),
        "cpu_us": {name: seconds / requests * 1e6 for name, seconds in cpu.items()},
        "foreign": foreign,
    }


def warm_up(contestant: Contestant, scale: Scale) -> None:
    """Lets pools, lanes and just-in-time allocations settle before anything counts."""
    _wrk(contestant, PACED_VISITORS, max(1, round(scale.warm_up_s)))


def paced(contestant: Contestant, rate: float, scale: Scale) -> dict:
    """Latency at a fixed rate, charged from the moment each request was due."""
    site, meter = contestant.site, Meter(contestant.peers)
    command = [contestant.tools["bench-visitor"], f"127.0.0.1:{site.port}", site.host, site.authority]
    command += [PACED_VISITORS, rate, scale.warm_up_s, scale.paced_s]
    result = json.loads(_output(command, timeout=scale.paced_s + 60))
    cpu, foreign = meter.stop()
    if result["failed"]:
        raise BenchError(f"{result['failed']} of {result['sent']} requests at {rate:.0f}/s failed")
    total = rate * (scale.warm_up_s + scale.paced_s)
    return {
        "rate": rate,
        "sent": result["sent"],
        "late": result["late"],
        **{f"{name}_ms": result[name] for name in ("p50", "p90", "p99", "max")},
        "cpu_us": {name: seconds / total * 1e6 for name, seconds in cpu.items()},
        "foreign": foreign,
    }


def bulk(contestant: Contestant, direction: str, scale: Scale) -> dict:
    """One large body through curl, "down" or "up": MiB/s, and CPU seconds per GiB of each process."""
    site, size = contestant.site, scale.bulk_bytes
    command = [
        contestant.tools["curl"],
        "--silent",
        "--show-error",
        "--fail",
        "--http1.1",
        "--cacert",
        site.authority,
    ]
    command += [
        "--resolve",
        f"{site.host}:{site.port}:127.0.0.1",
        "--write-out",
        "\n%{time_total} %{http_code}",
    ]
    if direction == "down":
        # A disk would be what is measured.
        command += ["--output", "/dev/null", f"{site.url}bytes/{size}"]
    else:
        source = contestant.folder / "upload"
        with source.open("wb") as file:
            file.truncate(size)
        command += ["--header", "Expect:", "--upload-file", source, f"{site.url}upload"]
    meter = Meter(contestant.peers)
    said = _output(command, timeout=300)
    cpu, foreign = meter.stop()
    body, _, summary = said.rpartition("\n")
    if direction == "up" and body.strip() != str(size):
        raise BenchError(f"the origin counted {body.strip()} of {size} uploaded bytes")
    gib = size / 2**30
    return {
        "mib_s": size / 2**20 / float(summary.split()[0]),
        "cpu_s_gib": {name: seconds / gib for name, seconds in cpu.items()},
        "foreign": foreign,
    }


def stalled(contestant: Contestant, scale: Scale) -> dict:
    """What six visitors who stop reading do to a seventh: milliseconds, None for an answer that never came."""
    site = contestant.site
    with visitor.stalled_downloads(site, STALLED, STALLED_BYTES):
        # Until every buffer on the way is full.
        time.sleep(scale.settle_s)
        found = {"first_ms": visitor.timed_get(site), "p50_ms": None, "p99_ms": None}
        if found["first_ms"] is not None:
            times = _keep_alive_times(site)
            ranks = statistics.quantiles(times, n=100, method="inclusive")
            found |= {"p50_ms": ranks[49], "p99_ms": ranks[98]}
        found["mib16_ms"] = visitor.timed_get(site, f"/bytes/{BESIDE_BYTES}")
        found["memory"] = memory(contestant)
    return found


def websockets(contestant: Contestant, scale: Scale) -> dict:
    """Memory of each process before, and with, many open and idle WebSockets."""
    before = memory(contestant)
    after = visitor.with_websockets(
        contestant.site, scale.websockets, scale.settle_s, lambda: memory(contestant)
    )
    return {"count": scale.websockets, "before": before, "after": after}


def idle_tunnels(contestant: Contestant, scale: Scale) -> dict:
    """Memory of each process before, and with, many idle tunnels beside the one in use."""
    before = memory(contestant)
    began = time.monotonic()
    for first in range(0, contestant.spares, DIALS):
        wave = range(first, min(first + DIALS, contestant.spares))
        contestant.dial_spares(wave)
        for number in wave:
            newest = contestant.spare_peers[-1]
            newest.wait_until(
                lambda number=number: contestant.spare_ready(number), f"opening idle tunnel {number}"
            )
    seconds = time.monotonic() - began
    time.sleep(scale.settle_s)
    clients = processes.memory(pid for peer in contestant.spare_peers for pid in peer.alive())
    return {
        "count": contestant.spares,
        "dialled_in_s": seconds,
        "before": before,
        "after": memory(contestant),
        "clients": {"processes": len(contestant.spare_peers), **clients},
    }


def memory(contestant: Contestant) -> dict[str, dict]:
    """MiB of RSS and PSS, and the side on which it runs, by process name."""
    return {peer.name: {"side": peer.side, **processes.memory(peer.tree())} for peer in contestant.peers}


def _keep_alive_times(site: visitor.Site) -> list[float]:
    times = []
    with site.connection() as connection:
        for _ in range(BESIDE_REQUESTS):
            began = time.monotonic()
            visitor.get(connection)
            times.append((time.monotonic() - began) * 1000)
    return times


def _wrk(contestant: Contestant, visitors: int, seconds: int) -> str:
    command = [
        contestant.tools["wrk"],
        "-t1",
        f"-c{visitors}",
        f"-d{seconds}s",
        "--latency",
        "--timeout",
        "10s",
    ]
    return _output([*command, "-s", SCRIPT, contestant.site.url], timeout=seconds + 60)


def output(command: list, timeout: float, environment: dict[str, str]) -> str:
    """What a command prints that succeeds; it sees these variables beside the usual ones."""
    return _output(command, timeout, {**os.environ, **environment})


def _output(command: list, timeout: float, environment: dict[str, str] | None = None) -> str:
    try:
        done = subprocess.run(
            [str(word) for word in command],
            capture_output=True,
            text=True,
            timeout=timeout,
            stdin=subprocess.DEVNULL,
            env=environment,
        )
    except subprocess.TimeoutExpired as error:
        raise BenchError(f"{os.path.basename(command[0])} did not end in {timeout:.0f} s") from error
    if done.returncode:
        said = (done.stderr or done.stdout).strip()[-500:]
        raise BenchError(f"{os.path.basename(command[0])} ended with status {done.returncode}: {said}")
    return done.stdout


def _first(pattern: str, text: str) -> str:
    found = re.search(pattern, text)
    if not found:
        raise BenchError(f"wrk said nothing like {pattern!r}:\n{text}")
    return found[1]


def _milliseconds(text: str) -> float:
    value, unit = re.fullmatch(r"([\d.]+)(us|ms|s|m)", text).groups()
    return float(value) * {"us": 0.001, "ms": 1.0, "s": 1000.0, "m": 60000.0}[unit]
