#!/usr/bin/python3
"""Written by irp. Ends this machine when nobody was connected for the idle time; runs twice a minute.

Connected is who has an authenticated session of sshd, and with it perhaps a forward. Sockets are not counted: a port
scanner has one too, and a dead laptop's would stay.
"""
import os, re, subprocess, time

PROC = os.environ.get("IRP_PROC", "/proc")
RUN = os.environ.get("IRP_RUN", "/run/irp")
SEEN = os.path.join(RUN, "last-seen")
IDLE = int(os.environ["IDLE_S"])
# sshd writes into its title who is logged in: `sshd: alice@pts/0`, and `sshd: alice` for a forward alone. Before
# that there are brackets and more words: `sshd: alice [net]`, `sshd: /usr/sbin/sshd -D [listener] 0 of 10`.
LOGGED_IN = re.compile(r"(\S*/)?sshd(-session)?: [^\s\[\]/@][^\s\[\]]*$")


def read(*path):
    try:
        with open(os.path.join(*path), "rb") as file:
            return file.read(512).decode(errors="replace")
    except OSError:
        return ""


def is_session(pid):
    # The name of the program stays what it is, while anybody can write a title.
    if read(PROC, pid, "comm").strip() not in ("sshd", "sshd-session"):
        return False
    return bool(LOGGED_IN.match(read(PROC, pid, "cmdline").split("\0")[0].strip()))


def now():
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def record(what):
    """Nothing that goes wrong with the record, or takes too long, keeps the machine."""
    try:
        subprocess.run(["/usr/local/lib/irp/record", what], timeout=60)
    except (OSError, subprocess.TimeoutExpired) as error:
        print("irp: %s" % error, flush=True)


def main():
    connected = any(is_session(pid) for pid in os.listdir(PROC) if pid.isdigit())
    seen = read(SEEN)
    if connected or not seen:
        with open(SEEN + ".new", "w") as out:
            out.write(repr(now()))
        os.replace(SEEN + ".new", SEEN)
    elif IDLE and now() - float(seen) >= IDLE:
        print("irp: nobody was connected for the idle time: this machine ends", flush=True)
        record("delete")
        subprocess.run(["systemctl", "--no-block", "poweroff"], check=True)
        return
    # An address that was attached later wins; and spot's notice is read.
    record("follow")


main()
