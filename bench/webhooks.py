#!/usr/bin/env python3
"""What `--verify` costs: the same webhooks of 2 KiB through irp with and without it. Needs a quiet machine.

    python3 bench/webhooks.py                 four rounds, each with fifteen bursts of every way, some eight minutes
    python3 bench/webhooks.py --rounds 1 --bursts 5

GitHub's scheme stands for all: it signs no time, so that wrk can send one signed request again and again, which with
Slack's would be a replay. What one verification costs by itself tells `cargo run --profile dist -p bench-verification`.

An edge that verifies also gets ready to keep each event for a program that is away. So there are three: without --verify,
verifying alone (an edge without inbox), and with the inbox, as is the default. In a round all three stand side by side and get
the load in short bursts, in an order that changes by chance: a slow minute of the machine meets all of them. A ratio is
taken between the bursts of one turn. Each round starts them anew, since where a process lies in memory makes a difference too.

Exit status 0 when the throughput of verifying alone is at least 92 % of that without (median of all ratios), 1 when it is not,
2 when something could not be measured.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import hmac
import pathlib
import random
import re
import statistics
import sys
import tempfile

from harness import measures, tools
from harness.contestants import IrpNative
from harness.identity import Identity
from harness.processes import BenchError, Meter

SECRET = "a secret of the benchmark"
BODY = '{"zen":"' + "x" * (2048 - 10) + '"}'
SIGNATURE = "sha256=" + hmac.new(SECRET.encode(), BODY.encode(), hashlib.sha256).hexdigest()
PATH = "upload"
VISITORS = 32
# At most 8 % of the throughput may be lost.
LEAST = 0.92
SCRIPT = pathlib.Path(__file__).with_name("harness") / "wrk-webhook.lua"


class Plain(IrpNative):
    """irp with every default."""

    key = "irp-plain"
    title = "irp"


class Keeping(IrpNative):
    """The same, letting in only what is signed, and ready to keep it."""

    key = "irp-keep"
    title = "irp --verify"
    # The harness asks for / to see whether the tunnel stands.
    lanes = ["--verify", f"github=/{PATH}", "--open", "/"]

    def _open(self):
        self.env["GITHUB_WEBHOOK_SECRET"] = SECRET
        return super()._open()


class Verifying(Keeping):
    """The same at an edge that keeps nothing."""

    key = "irp-verify"
    title = "irp --verify, no inbox"
    edge = "[inbox]\nenabled = false\n"


def measure(running: IrpNative, seconds: int) -> dict:
    """Requests/s, and CPU microseconds per request of edge and client."""
    meter = Meter(running.peers)
    command = [running.tools["wrk"], "-t1", f"-c{VISITORS}", f"-d{seconds}s", "--timeout", "10s"]
    environment = {"WEBHOOK_BODY": BODY, "WEBHOOK_SIGNATURE": SIGNATURE}
    report = measures.output([*command, "-s", SCRIPT, running.site.url + PATH], seconds + 60, environment)
    cpu, foreign = meter.stop()
    requests = re.search(r"(\d+) requests in", report)
    if not requests or re.search(r"Non-2xx or 3xx responses|Socket errors", report):
        raise BenchError(f"{running.key}: wrk saw errors:\n{report}")
    count = int(requests[1])
    rps = float(re.search(r"Requests/sec:\s+([\d.]+)", report)[1])
    ours = sum(used for name, used in cpu.items() if name.startswith("irp"))
    return {"rps": rps, "cpu_us": ours / count * 1e6, "foreign": foreign}


def turns(running: dict[type, IrpNative], bursts: int, seconds: float) -> list[dict[type, dict]]:
    """What each measured in every turn, after a warm-up."""
    for one in running.values():
        measure(one, 1)
    seen = []
    for _ in range(bursts):
        order = random.sample(list(running), len(running))
        seen.append({kind: measure(running[kind], seconds) for kind in order})
    return seen


def ratio(seen: list[dict[type, dict]], kind: type) -> float:
    """The throughput as a part of that without; the median of all turns."""
    return statistics.median(one[kind]["rps"] / one[Plain]["rps"] for one in seen)


def summary(seen: list[dict[type, dict]], kind: type) -> str:
    """The ratio with the middle half of all, and what it costs in CPU."""
    ratios = sorted(one[kind]["rps"] / one[Plain]["rps"] for one in seen)
    low, high = ratios[len(ratios) // 4], ratios[3 * len(ratios) // 4]
    more = statistics.median(one[kind]["cpu_us"] - one[Plain]["cpu_us"] for one in seen)
    return f"{ratio(seen, kind):.3f} ({low:.3f}–{high:.3f}), {more:+.1f} µs CPU"


def main() -> int:
    """Takes turns, and prints a line for each round and the ratios of all."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=4, metavar="N")
    parser.add_argument("--bursts", type=int, default=15, metavar="N")
    parser.add_argument("--seconds", type=int, default=2, metavar="S")
    options = parser.parse_args()
    seen = []
    try:
        found = tools.Tools.find({"bench-origin", "irp", "openssl", "ssh-keygen", "wrk"})
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            identity_folder = pathlib.Path(folder, "identity")
            identity_folder.mkdir()
            identity = Identity(identity_folder, found)
            for number in range(options.rounds):
                with contextlib.ExitStack() as stack:
                    running = {
                        kind: stack.enter_context(kind(found, identity, pathlib.Path(folder)))
                        for kind in (Plain, Verifying, Keeping)
                    }
                    round_ = turns(running, options.bursts, options.seconds)
                seen += round_
                speed = statistics.median(one[Plain]["rps"] for one in round_)
                words = [f"{kind.title} {summary(round_, kind)}" for kind in (Verifying, Keeping)]
                print(f"round {number + 1}: {speed:.0f} requests/s; {'; '.join(words)}", flush=True)
    except (BenchError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"median of {len(seen)} ratios (the middle half), and CPU per request of edge and client:")
    for kind in (Verifying, Keeping):
        wanted = f"; at least {LEAST} wanted" if kind is Verifying else ""
        print(f"{kind.title}: {summary(seen, kind)}{wanted}")
    busy = max(measured["foreign"] for one in seen for measured in one.values())
    if busy > 0.1:
        print(f"other programs used up to {busy:.0%} of the machine: do not trust these figures")
    return 0 if ratio(seen, Verifying) >= LEAST else 1


if __name__ == "__main__":
    sys.exit(main())
