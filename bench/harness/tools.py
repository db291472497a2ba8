"""The programs the benchmark needs: where they are, which version, and how to get a missing one."""

from __future__ import annotations

import os
import pathlib
import platform
import re
import shutil
import subprocess

from .processes import BenchError

ROOT = pathlib.Path(__file__).resolve().parents[2]
TARGET = ROOT / "target"
# As published: the other contestants come from Debian, built for speed as well.
PROFILE = "dist"

# Program, Debian package, and the words that make it print its version.
DEBIAN = {
    "caddy": ("caddy", ["version"]),
    "curl": ("curl", ["--version"]),
    "haproxy": ("haproxy", ["-v"]),
    "openssl": ("openssl", ["version"]),
    "ssh": ("openssh-client", ["-V"]),
    "ssh-keygen": ("openssh-client", None),
    "sshd": ("openssh-server", None),
    "wrk": ("wrk", ["-v"]),
}

# The peer to beat, built from the registry as issue and README say it.
RATHOLE = ["rathole", "--no-default-features", "--features", "server,client,tls,hot-reload"]


class Tools(dict):
    """Paths of programs by name, all of them there."""

    @classmethod
    def find(cls, names: set[str]) -> Tools:
        """Finds or builds the programs; an error names the command that installs what is missing."""
        tools, missing = cls(), []
        for name in sorted(names & set(DEBIAN)):
            path = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
            if path:
                # sshd starts itself again by its name and refuses a relative one.
                tools[name] = pathlib.Path(path).absolute()
            else:
                missing.append(DEBIAN[name][0])
        if missing:
            raise BenchError(
                f"programs are missing; install them with: apt-get install {' '.join(sorted(set(missing)))}"
            )
        ours = [f"--package={name}" for name in ("bench-origin", "bench-visitor", "irp") if name in names]
        if ours:
            _run(["cargo", "build", "--profile", PROFILE, *ours], "building " + ", ".join(word[10:] for word in ours))
        for name in {"bench-origin", "bench-visitor", "irp"} & names:
            tools[name] = TARGET / PROFILE / name
        if "rathole" in names:
            tools["rathole"] = _rathole()
        return tools


def _rathole() -> pathlib.Path:
    """rathole, built once into target/bench-tools; that takes some minutes."""
    folder = TARGET / "bench-tools"
    program = folder / "bin" / "rathole"
    if not program.exists():
        _run(
            ["cargo", "install", *RATHOLE, "--root", folder, "--target-dir", folder / "build"],
            "building rathole",
        )
        shutil.rmtree(folder / "build", ignore_errors=True)
    return program


def _run(command: list, what: str) -> None:
    print(f"{what} …", flush=True)
    done = subprocess.run([str(word) for word in command], cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        tail = "\n".join(done.stderr.splitlines()[-20:])
        raise BenchError(
            f"{what} failed (a Rust toolchain, gcc, cmake and pkg-config, libssl-dev are needed)\n{tail}"
        )


def versions(tools: Tools) -> dict[str, str]:
    """The version that each program names when asked."""
    found = {}
    for name, path in tools.items():
        words = DEBIAN[name][1] if name in DEBIAN else ["--version"] if name in ("irp", "rathole") else None
        if words:
            said = subprocess.run([path, *words], capture_output=True, text=True, timeout=20)
            version = re.search(
                r"^(?!.*Timestamp).*?(\d+\.\d+[\w.+~-]*)", said.stdout + said.stderr, re.MULTILINE
            )
            found[name] = version[1] if version else "unknown"
    found["irp's commit"] = _commit()
    return found


def machine() -> dict[str, str | int | float]:
    """What the figures depend on: processor, cores, memory, kernel, distribution."""
    cpuinfo = pathlib.Path("/proc/cpuinfo").read_text()
    models = [
        line.partition(":")[2].strip() for line in cpuinfo.splitlines() if line.startswith("model name")
    ]
    release = platform.freedesktop_os_release() if pathlib.Path("/etc/os-release").exists() else {}
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "cpu": models[0] if models else platform.machine(),
        "cores": os.cpu_count() or 1,
        "memory_gib": round(pages / 2**30, 1),
        "kernel": f"{platform.system()} {platform.release()}",
        "system": release.get("PRETTY_NAME", "unknown"),
        "virtual": " hypervisor" in cpuinfo,
    }


def _commit() -> str:
    described = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return described.stdout.strip() or "unknown"
