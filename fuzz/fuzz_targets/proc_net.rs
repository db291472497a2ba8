//! What any program can put into `/proc/net`, paths of sockets above all, neither stops the edge nor makes it
//! see a listener that is none.
//!
//! Input: the text of all three files.

#![no_main]

use std::{cell::LazyCell, fs, path::PathBuf};

use libfuzzer_sys::fuzz_target;

#[path = "../../crates/irp-edge/src/tunnels/sshd/listening.rs"]
#[allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    reason = "a module of the edge, of which not all is used here"
)]
mod listening;

thread_local! {
    /// A folder with the shape of `/proc`, beside what is built; one for each process, since several may run.
    static PROC: LazyCell<PathBuf> = LazyCell::new(|| {
        let built = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/target/proc_net"));
        let folder = built.join(std::process::id().to_string());
        fs::create_dir_all(folder.join("net")).expect("a folder");
        folder
    });
}

fuzz_target!(|data: &[u8]| PROC.with(|proc| {
    for name in ["net/tcp", "net/tcp6", "net/unix"] {
        fs::write(proc.join(name), data).expect("a file");
    }
    let rows = data.split(|byte| *byte == b'\n').count();
    if let Ok(found) = listening::tcp(proc) {
        assert!(found.len() <= 2 * rows, "more listeners than rows");
        for listener in found {
            let inode = listener.inode.to_string();
            assert!(holds(data, inode.as_bytes()), "an inode that nobody wrote");
            let is_unknown = listener.address.is_ipv6() && listener.address.is_unspecified();
            assert_eq!(listener.accepts_loopback().is_none(), is_unknown);
        }
    } else {
        assert!(std::str::from_utf8(data).is_err(), "text can be read");
    }
    for listener in listening::unix(proc).expect("bytes can be read") {
        let path = listener.path.as_os_str().as_encoded_bytes();
        assert!(path.starts_with(b"/") && holds(data, path), "a path that nobody wrote");
    }
}));

fn holds(data: &[u8], part: &[u8]) -> bool {
    data.windows(part.len()).any(|window| window == part)
}
