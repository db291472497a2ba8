# Installs the Debian packages "$@" as programs, not as services. Run as root by `cargo xtask test`.
#
# caddy, openssh-server and others start a server as soon as they are installed, and again at every boot. On a
# developer's machine that would open ports that nobody asked for, and take those that the tests measure. So
# policy-rc.d, which every package script asks before it starts something, says no while apt runs, and the units
# that came are not left enabled. Packages that were there before are not touched.

set -eu
export DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1

policy=/usr/sbin/policy-rc.d
if [ -e "$policy" ]; then
    echo "$policy exists and decides whether services start"
else
    # Removed whatever happens: left behind, it would keep every later package from starting its service.
    trap 'rm -f "$policy"' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    # 101 means "forbidden by policy", which package scripts take for a success.
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
fi

# A machine may be offline with all packages in its cache, or have one broken source beside good ones.
apt-get -q -o DPkg::Lock::Timeout=300 update || echo "apt-get update failed; going on with the lists there are"
apt-get -q -o DPkg::Lock::Timeout=300 install --yes --no-install-recommends "$@"

if command -v systemctl >/dev/null; then
    for package in "$@"; do
        dpkg -L "$package" | sed -n 's,^.*/systemd/system/\([^/]*\.\(service\|socket\)\)$,\1,p' |
            while read -r unit; do
                systemctl --quiet disable "$unit" || echo "$unit could not be disabled"
            done
    done
fi
