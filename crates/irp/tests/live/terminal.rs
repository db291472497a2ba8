//! Programs as people run them: on a terminal.

use std::{
    fs::File,
    io::{Read as _, Write as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use irp_testkit::{patience::eventually_blocking, process::find};

/// A terminal with one program in it: that of `script`, which writes down what is on its screen.
pub(crate) struct Terminal {
    script: Child,
    screen: PathBuf,
}

impl Terminal {
    /// Starts `program` on it; what is written goes to the file `screen` too.
    pub(crate) fn start(program: &Command, screen: &Path) -> Self {
        let words = std::iter::once(program.get_program()).chain(program.get_args());
        let quoted = words.map(|word| format!("'{}'", word.to_str().unwrap().replace('\'', "'\\''")));
        let line = format!("exec {}", quoted.collect::<Vec<_>>().join(" "));
        let mut command = Command::new(find("script", "bsdutils").unwrap());
        command.env_clear().envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.env("SHELL", "/bin/sh").args(["-q", "-e", "-f", "-c", &line]).arg(screen);
        let log = File::create(screen.with_extension("log")).unwrap();
        if let Some(folder) = program.get_current_dir() {
            command.current_dir(folder);
        }
        command.stdin(Stdio::piped()).stdout(log.try_clone().unwrap()).stderr(log);
        Self { script: command.spawn().unwrap(), screen: screen.to_owned() }
    }

    /// All that was on the screen so far.
    pub(crate) fn screen(&mut self) -> String {
        let mut text = Vec::new();
        if let Ok(mut file) = File::open(&self.screen) {
            file.read_to_end(&mut text).unwrap();
        }
        let text = String::from_utf8_lossy(&text).into_owned();
        let ended = self.script.try_wait().unwrap();
        assert!(ended.is_none(), "it ended: {ended:?}\n{text}");
        text
    }

    /// Types this.
    pub(crate) fn type_in(&mut self, text: &str) {
        self.script.stdin.as_mut().unwrap().write_all(text.as_bytes()).unwrap();
    }

    /// Waits for the end, and gives the exit code of what ran inside.
    pub(crate) fn end(mut self) -> Option<i32> {
        let mut status = None;
        eventually_blocking("the end", || {
            status = self.script.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap().code()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.script.kill();
        let _ = self.script.wait();
    }
}
