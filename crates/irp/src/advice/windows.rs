//! Windows.

/// Where a port may not be bound.
pub(crate) const BIND_LOW_PORT: &str =
    "Windows keeps some ports to itself: netsh interface ipv4 show excludedportrange protocol=tcp";

/// Where no variable says where folders of one's own are.
pub(crate) const HOMELESS: &str =
    "set APPDATA and LOCALAPPDATA, or XDG_CONFIG_HOME and XDG_STATE_HOME, to absolute paths";

/// How AWS's plugin for sessions comes here.
pub(crate) const INSTALL_PLUGIN: &str =
    "run SessionManagerPluginSetup.exe of that page, and open a new terminal";

/// Where there is no ssh.
pub(crate) const INSTALL_SSH: &str =
    "install it as administrator: Add-WindowsCapability -Online -Name OpenSSH.Client~~~~0.0.1.0";

/// Where the clock is wrong.
pub(crate) const SET_CLOCK: &str =
    "set it right: w32tm /resync as administrator, or “Date & time” in the settings";

/// How an ssh-agent comes to run.
pub(crate) const START_AGENT: &str =
    "as administrator: Set-Service ssh-agent -StartupType Automatic; Start-Service ssh-agent; then: ssh-add";

/// What ends a process.
pub(crate) fn end_process(pid: u32) -> String {
    format!("taskkill /PID {pid}")
}

/// What tells who listens at a port.
pub(crate) fn who_listens(port: u16) -> String {
    format!("Get-Process -Id (Get-NetTCPConnection -State Listen -LocalPort {port}).OwningProcess")
}
