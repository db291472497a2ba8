//! Windows' own variables.

use std::{
    env,
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
};

use super::{given, path, text};

/// Where pipes with a name are.
const PIPES: &str = r"\\.\pipe\";

/// The one of Windows' service ssh-agent.
const AGENT: &str = "openssh-ssh-agent";

/// How programs end where `PATHEXT` does not tell.
const ENDINGS: &str = ".COM;.EXE;.BAT;.CMD";

pub(super) fn home() -> Option<PathBuf> {
    path("USERPROFILE")
}

pub(super) fn config_folder() -> Option<PathBuf> {
    path("APPDATA")
}

/// What does not follow the person to other PCs.
pub(super) fn state_folder() -> Option<PathBuf> {
    path("LOCALAPPDATA")
}

pub(super) fn user() -> Option<String> {
    text("USERNAME")
}

/// What Cygwin's programs put into the variable is no pipe, and of no use here.
pub(super) fn agent() -> Option<PathBuf> {
    path("SSH_AUTH_SOCK").filter(|path| path.starts_with(PIPES)).or_else(service)
}

/// The pipe of the service, where somebody listens. Looking into the list disturbs nobody, opening the pipe would.
fn service() -> Option<PathBuf> {
    let mut pipes = fs::read_dir(PIPES).ok()?.flatten();
    pipes.any(|pipe| pipe.file_name() == AGENT).then(|| Path::new(PIPES).join(AGENT))
}

/// Windows itself completes `.exe` and nothing else, while what npm installs ends with `.cmd`.
pub(super) fn program(typed: &OsStr) -> PathBuf {
    let named = Path::new(typed);
    let endings = text("PATHEXT").unwrap_or_else(|| ENDINGS.to_owned());
    let mut folders = if named.components().count() > 1 {
        vec![PathBuf::new()]
    } else {
        given("PATH").map(|list| env::split_paths(&list).collect()).unwrap_or_default()
    };
    folders.retain(|folder| folder.as_os_str().is_empty() || folder.is_absolute());
    let whole = |folder: &PathBuf| {
        let at = folder.join(named);
        let ended = endings.split(';').filter(|ending| ending.starts_with('.')).map({
            let at = at.clone();
            move |ending| {
                let mut name = at.as_os_str().to_owned();
                name.push(ending);
                PathBuf::from(name)
            }
        });
        let known = named.extension().is_some_and(|own| {
            let own = own.to_string_lossy();
            endings.split(';').any(|ending| ending.trim_start_matches('.').eq_ignore_ascii_case(&own))
        });
        known.then_some(at).into_iter().chain(ended).find(|file| file.is_file())
    };
    folders.iter().find_map(whole).unwrap_or_else(|| typed.into())
}
