"""From the rounds of a result file to single figures: medians, ranges, ratios, and the targets."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from .contestants import BASELINE

# Picks one number out of what one contestant did in one round; None or KeyError where it was not measured.
Pick = Callable[[dict], float | None]


@dataclass(frozen=True)
class Figure:
    """Median and range over the rounds."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Figure | None:
        """The figure of some values, or None when there are none."""
        values = list(values)
        return cls(statistics.median(values), min(values), max(values)) if values else None


def rps(visitors: int) -> Pick:
    """Requests/s at full speed."""
    return lambda entry: entry[f"load {visitors}"]["rps"]


def cpu(visitors: int) -> Pick:
    """CPU microseconds per request at full speed, of all processes but the load generator: the origin's too."""
    return lambda entry: sum(entry[f"load {visitors}"]["cpu_us"].values())


def cpu_of(visitors: int, process: str) -> Pick:
    """CPU microseconds per request at full speed, of one process."""
    return lambda entry: entry[f"load {visitors}"]["cpu_us"][process]


def paced(name: str) -> Pick:
    """A latency at the fixed rate, in ms."""
    return lambda entry: entry["paced"][f"{name}_ms"]


def bulk(direction: str) -> Pick:
    """MiB/s of one large body."""
    return lambda entry: entry[f"bulk {direction}"]["mib_s"]


def bulk_cpu(direction: str) -> Pick:
    """CPU seconds per GiB of one large body, all processes but curl."""
    return lambda entry: sum(entry[f"bulk {direction}"]["cpu_s_gib"].values())


def stalled(name: str) -> Pick:
    """A time beside stalled downloads, in ms."""
    return lambda entry: entry["stalled"][f"{name}_ms"]


def websocket_kib(entry: dict) -> float:
    """KiB that one idle WebSocket adds on the edge's side and the client's together."""
    return _growth_kib(entry["websockets"], "edge", "client")


def tunnel_kib(measured: dict) -> float:
    """KiB that one idle tunnel adds on the edge's side."""
    return _growth_kib(measured, "edge")


def at_rest(entry: dict) -> float:
    """MiB of edge side and client before any load, programs and libraries included."""
    return mib(entry["websockets"]["before"], "pss", "edge", "client")


def mib(memory: dict[str, dict], kind: str, *sides: str) -> float:
    """MiB of one kind ("rss", "pss", "anon") of all processes on these sides."""
    return sum(measured[kind] for measured in memory.values() if measured["side"] in sides)


def values(result: dict, key: str, pick: Pick) -> list[float]:
    """The numbers of one contestant, round by round, those not measured left out."""
    return [value for _, value in _by_round(result, key, pick)]


def figure(result: dict, key: str, pick: Pick) -> Figure | None:
    """Median and range of one contestant."""
    return Figure.of(values(result, key, pick))


def ratio(result: dict, key: str, pick: Pick, to: str = BASELINE) -> Figure | None:
    """Median and range of the ratio to another contestant *of the same round*: both met the same machine."""
    others = dict(_by_round(result, to, pick))
    pairs = ((value, others.get(number)) for number, value in _by_round(result, key, pick))
    return Figure.of(value / other for value, other in pairs if other)


def processes(result: dict, key: str, visitors: int) -> list[str]:
    """The names of a contestant's processes, in the order in which they were started."""
    for filed in result["rounds"]:
        if load := filed.get(key, {}).get(f"load {visitors}"):
            return list(load["cpu_us"])
    return []


@dataclass(frozen=True)
class Target:
    """A ratio between two contestants of one run that has to be reached."""

    text: str
    key: str
    to: str
    pick: Pick
    limit: float
    at_least: bool

    def measured(self, result: dict) -> Figure | None:
        """The ratio of this run, or None when one of the two was not measured."""
        return ratio(result, self.key, self.pick, self.to)

    def verdict(self, result: dict) -> str:
        """ "pass", "miss" or "not measured"; the median decides."""
        found = self.measured(result)
        if found is None:
            return "not measured"
        reached = found.median >= self.limit if self.at_least else found.median <= self.limit
        return "pass" if reached else "miss"


def _targets() -> list[Target]:
    targets = []
    for key, name, speed, cost in (
        ("irp-native", "irp", 2.5, 0.38),
        ("irp-sshd", "irp through sshd", 1.7, 0.5),
    ):
        against = "Caddy + ssh"
        targets += [
            Target(
                f"{name}: requests/s, 32 visitors, against {against}", key, BASELINE, rps(32), speed, True
            ),
            Target(
                f"{name}: CPU per request, 32 visitors, against {against}",
                key,
                BASELINE,
                cpu(32),
                cost,
                False,
            ),
            Target(f"{name}: bulk down, against {against}", key, BASELINE, bulk("down"), 1.0, True),
            Target(f"{name}: bulk up, against {against}", key, BASELINE, bulk("up"), 1.0, True),
            Target(f"{name}: p99 at half load, against {against}", key, BASELINE, paced("p99"), 1.0, False),
        ]
    for visitors, plural in ((1, ""), (8, "s")):
        text = f"irp: requests/s, {visitors} visitor{plural}, against HTTP/2 alone"
        targets.append(Target(text, "irp-native", "irp-http2", rps(visitors), 1.5, True))
    text = "irp: CPU per request, 32 visitors, against HAProxy + rathole"
    targets.append(Target(text, "irp-native", "haproxy-rathole", cpu(32), 1.0, False))
    return targets


TARGETS = _targets()


def _by_round(result: dict, key: str, pick: Pick) -> list[tuple[int, float]]:
    found = []
    for number, filed in enumerate(result["rounds"]):
        try:
            value = pick(filed[key])
        except KeyError:
            continue
        if value is not None:
            found.append((number, value))
    return found


def _growth_kib(measured: dict, *sides: str) -> float:
    # Without file pages: a thousand clients of the same program would make the edge's share of them vanish.
    grown = mib(measured["after"], "anon", *sides) - mib(measured["before"], "anon", *sides)
    return grown * 1024 / measured["count"]
