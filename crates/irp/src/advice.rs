//! What a person types or installs, where that is another thing on each system.

#[cfg_attr(target_os = "linux", path = "advice/linux.rs")]
#[cfg_attr(target_os = "macos", path = "advice/macos.rs")]
#[cfg_attr(windows, path = "advice/windows.rs")]
mod system;

pub(crate) use self::system::{
    BIND_LOW_PORT, HOMELESS, INSTALL_PLUGIN, INSTALL_SSH, SET_CLOCK, START_AGENT, end_process, who_listens,
};
