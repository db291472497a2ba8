//! Linux.

/// Where a port may not be bound.
pub(crate) const BIND_LOW_PORT: &str =
    "ports below 1024 need AmbientCapabilities=CAP_NET_BIND_SERVICE in a systemd unit, or root";

/// Where no variable says where folders of one's own are.
pub(crate) const HOMELESS: &str = "set HOME, or XDG_STATE_HOME and XDG_CONFIG_HOME, to absolute paths";

/// How AWS's plugin for sessions comes here.
pub(crate) const INSTALL_PLUGIN: &str = "on Debian and Ubuntu: dpkg -i session-manager-plugin.deb";

/// Where there is no ssh.
pub(crate) const INSTALL_SSH: &str = "install OpenSSH";

/// Where the clock is wrong.
pub(crate) const SET_CLOCK: &str = "set it right: timedatectl set-ntp true, or the settings of your system";

/// How an ssh-agent comes to run.
pub(crate) const START_AGENT: &str = "eval \"$(ssh-agent)\" && ssh-add";

/// What ends a process.
pub(crate) fn end_process(pid: u32) -> String {
    format!("kill {pid}")
}

/// What tells who listens at a port.
pub(crate) fn who_listens(port: u16) -> String {
    format!("ss -ltnp 'sport = :{port}'")
}
