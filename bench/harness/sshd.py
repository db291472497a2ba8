"""A stock sshd of the distribution on a free port, and `ssh -N -R` to it, both with their defaults."""

from __future__ import annotations

import contextlib
import os
import pathlib
from typing import TYPE_CHECKING

from .processes import free_port, listening_ports

if TYPE_CHECKING:
    from .contestants import Contestant


def start(contestant: Contestant) -> int:
    """Starts sshd and returns its port once it listens."""
    identity, port = contestant.identity, free_port()
    allowed = contestant.write("authorized_keys", identity.public_key + "\n")
    if os.getuid() == 0:
        # sshd's privilege separation folder, which the distribution's init makes at boot and a container lacks.
        with contextlib.suppress(FileExistsError):
            pathlib.Path("/run/sshd").mkdir(mode=0o755)
    config = contestant.write(
        "sshd_config",
        f"ListenAddress 127.0.0.1:{port}\nHostKey {identity.host_key}\nPidFile none\n"
        f"AuthorizedKeysFile {allowed}\nStrictModes no\nUsePAM no\nPasswordAuthentication no\n"
        # A thousand idle tunnels come almost together.
        "KbdInteractiveAuthentication no\nPermitRootLogin prohibit-password\nMaxStartups 1000\n",
    )
    server = contestant.run("sshd", "edge", [contestant.tools["sshd"], "-D", "-e", "-f", config])
    server.wait_until(lambda: port in listening_ports(), "listening")
    return port


def client(contestant: Contestant, server: int, forward: int, origin: int) -> list:
    """The command that makes `localhost:forward` on the server's side lead to the origin."""
    identity = contestant.identity
    options = ["ExitOnForwardFailure=yes", "StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null"]
    options += ["BatchMode=yes", "IdentitiesOnly=yes", "LogLevel=ERROR"]
    command = [contestant.tools["ssh"], "-F", "/dev/null", "-N", "-R", f"{forward}:localhost:{origin}"]
    command += ["-i", identity.client_key, "-p", server, f"{identity.user}@127.0.0.1"]
    return command + [word for option in options for word in ("-o", option)]
