#!/usr/bin/env python3
"""Compares irp with what people use instead, in one run on this machine. Needs Python 3.11, nothing else.

    python3 bench/run.py                  everything, about half an hour on a quiet machine
    python3 bench/run.py --quick          a minute or two: shows that the harness works; the figures mean nothing
    python3 bench/run.py --publish        everything, and writes docs/benchmarks.md and docs/benchmarks.svg
    python3 bench/run.py --from FILE      renders the report of an earlier run again

How to read the result is told in bench/README.md.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import http.client
import json
import pathlib
import resource
import signal
import sys
import tempfile
from collections.abc import Callable

from harness import contestants, measures, plot, report, tools
from harness.contestants import Contestant
from harness.identity import Identity
from harness.measures import Scale
from harness.processes import BenchError


# What a measurement may end with when a contestant, not this program, is at fault.
FAILURES = (BenchError, OSError, http.client.HTTPException)


def main() -> int:
    """Runs the benchmark; exit status 1 when something could not be measured, 2 when it could not start."""
    options = arguments()
    # Ctrl-C and `kill` alike unwind through the contestants, which end what they started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        result = json.loads(options.earlier.read_text()) if options.earlier else run(options)
    except BenchError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    folder = save(result, options.out)
    print(report.verdicts(result))
    if options.publish:
        report.publish(result, tools.ROOT / "docs")
    print(f"\nresults.json, results.md and results.svg are in {folder}")
    for error in result["errors"]:
        print(f"not measured: {error}", file=sys.stderr)
    return 1 if result["errors"] else 0


def save(result: dict, folder: pathlib.Path | None) -> pathlib.Path:
    """Writes data, tables and picture; called after every round, so that an interrupted run is not lost."""
    folder = folder or tools.TARGET / "bench" / result["date"].replace(":", "")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.json").write_text(json.dumps(result, indent=1) + "\n")
    (folder / "results.md").write_text(report.markdown(result))
    (folder / "results.svg").write_text(plot.svg(result))
    return folder


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    known = ",".join(contestant.key for contestant in contestants.ALL)
    parser.add_argument(
        "--only", metavar="LIST", default=known, help=f"contestants, comma-separated: {known}"
    )
    parser.add_argument("--quick", action="store_true", help="one round of one second each")
    parser.add_argument("--rounds", type=int, metavar="N", help=f"rounds (default {Scale().rounds})")
    parser.add_argument(
        "--tunnels", type=int, metavar="N", help=f"idle tunnels, 0 for none (default {Scale().tunnels})"
    )
    parser.add_argument(
        "--out", type=pathlib.Path, metavar="FOLDER", help="where the results go (default target/bench/DATE)"
    )
    parser.add_argument(
        "--publish", action="store_true", help="write docs/benchmarks.md and docs/benchmarks.svg too"
    )
    parser.add_argument(
        "--from", dest="earlier", type=pathlib.Path, metavar="FILE", help="render this results.json again"
    )
    return parser.parse_args()


def run(options: argparse.Namespace) -> dict:
    """Measures everything and returns the content of results.json."""
    scale = measures.QUICK if options.quick else Scale()
    changes = {"rounds": options.rounds, "tunnels": options.tunnels}
    scale = dataclasses.replace(scale, **{key: value for key, value in changes.items() if value is not None})
    chosen = contestants.choose(options.only)
    needed = set().union(*(contestant.needs for contestant in chosen))
    found = tools.Tools.find(
        needed | {"bench-origin", "bench-visitor", "curl", "openssl", "ssh-keygen", "wrk"}
    )
    _raise_file_limit()
    result = {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds").removesuffix("+00:00")
        + "Z",
        "quick": options.quick,
        "machine": tools.machine(),
        "versions": tools.versions(found),
        "scale": dataclasses.asdict(scale),
        "contestants": [{"key": contestant.key, "title": contestant.title} for contestant in chosen],
        "rate": None,
        "rounds": [],
        "tunnels": {},
        "errors": [],
    }
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        identity_folder = pathlib.Path(folder, "identity")
        identity_folder.mkdir()
        identity = Identity(identity_folder, found)
        bench = Bench(
            result, scale, lambda kind, spares=0: kind(found, identity, pathlib.Path(folder), spares)
        )
        bench.calibrate(chosen)
        for number in range(scale.rounds):
            bench.round(number, chosen)
            save(result, options.out)
        if scale.tunnels:
            bench.idle_tunnels(chosen)
    return result


class Bench:
    """Walks through the rounds and files what was measured; a failure is noted, and the rest goes on."""

    def __init__(self, result: dict, scale: Scale, make: Callable[..., Contestant]) -> None:
        self.result = result
        self.scale = scale
        self.make = make

    def calibrate(self, chosen: list[type[Contestant]]) -> None:
        """Finds the fixed rate: half of what the slowest contestant can do. Its figures are not kept."""
        speeds = []
        for kind in chosen:

            def find(running: Contestant) -> None:
                measures.warm_up(running, self.scale)
                speeds.append(measures.full_speed(running, measures.PACED_VISITORS, self.scale)["rps"])

            self._with(kind, "calibration", find)
        if not speeds:
            raise BenchError("no contestant could be started:\n" + "\n".join(self.result["errors"]))
        self.result["rate"] = max(100.0, round(min(speeds) / 2, -2))
        print(f"fixed rate: {self.result['rate']:.0f} requests/s", flush=True)

    def round(self, number: int, chosen: list[type[Contestant]]) -> None:
        """One turn of everybody, so that a slow minute of the machine meets all of them."""
        filed: dict[str, dict] = {kind.key: {} for kind in chosen}
        self.result["rounds"].append(filed)
        for kind in chosen:
            entry, where = filed[kind.key], f"round {number + 1}"
            # A fresh start for memory: neither may the load show in it, nor a thousand WebSockets in the load.
            self._with(
                kind,
                where,
                lambda running: self._file(entry, "websockets", measures.websockets, running, self.scale),
            )
            self._with(kind, where, lambda running: self._one(entry, running))

    def idle_tunnels(self, chosen: list[type[Contestant]]) -> None:
        """Once, after the rounds: memory hardly varies, and a thousand clients take their time to start."""
        for kind in chosen:
            if kind.has_tunnel:
                self._with(
                    kind,
                    "idle tunnels",
                    lambda running: self._file(
                        self.result["tunnels"], running.key, measures.idle_tunnels, running, self.scale
                    ),
                    spares=self.scale.tunnels,
                )

    def _one(self, entry: dict, running: Contestant) -> None:
        scale = self.scale
        measures.warm_up(running, scale)
        for visitors in measures.VISITORS:
            self._file(entry, f"load {visitors}", measures.full_speed, running, visitors, scale)
        self._file(entry, "paced", measures.paced, running, self.result["rate"], scale)
        for direction in ("down", "up"):
            self._file(entry, f"bulk {direction}", measures.bulk, running, direction, scale)
        self._file(entry, "stalled", measures.stalled, running, scale)

    def _file(
        self, entry: dict, name: str, measure: Callable[..., dict], running: Contestant, *args: object
    ) -> None:
        try:
            entry[name] = measure(running, *args)
        except FAILURES as error:
            self._note(f"{running.key}, {name}: {error}")

    def _with(
        self, kind: type[Contestant], where: str, work: Callable[[Contestant], None], spares: int = 0
    ) -> None:
        print(f"{where}: {kind.title}", flush=True)
        try:
            with self.make(kind, spares) as running:
                work(running)
        except FAILURES as error:
            self._note(f"{kind.key}, {where}: {error}")

    def _note(self, error: str) -> None:
        print(f"  {error}", file=sys.stderr, flush=True)
        self.result["errors"].append(error)


def _raise_file_limit() -> None:
    """A thousand WebSockets and their tunnels need more descriptors than the usual soft limit of 1024."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


if __name__ == "__main__":
    sys.exit(main())
