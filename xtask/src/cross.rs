//! `cargo xtask cross`: irp for 64-bit ARM, built on another machine, and run there by an emulated processor.
//!
//! Rust's own builds for other platforms come with rustup, which may be out of reach; Debian 12 has all that is needed:
//! a compiler newer than ours that its browsers are built with (`rustc-web`), its standard library for arm64, a C
//! compiler, and qemu. The compiler is unpacked below `target/`, since as a package it would take the place of another
//! one, and so is qemu, whose package changes what the kernel can run.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use crate::{
    cargo,
    linux::{MB_MAX, inspect},
    peers, said, stage, succeed, workspace,
};

const TARGET: &str = "aarch64-unknown-linux-gnu";

/// Compiles and links C for it.
const LINKER: &str = "aarch64-linux-gnu-gcc";

/// Where the C library for it is: for qemu, and a header of it that shows whether the compiler finds all of them.
const LIBRARIES: &str = "/usr/aarch64-linux-gnu";
const HEADER: &str = "/usr/aarch64-linux-gnu/include/stdlib.h";

/// The C compiler only recommends the headers, so they are named.
const C_PACKAGES: &[&str] = &["gcc-aarch64-linux-gnu", "libc6-dev-arm64-cross"];

/// The compiler, its libraries, its standard library for both sides, and qemu.
const PACKAGES: &[&str] = &[
    "rustc-web",
    "libstd-rust-web-dev:amd64",
    "libstd-rust-web-dev:arm64",
    "libstd-rust-web-1.96:amd64",
    "libllvm22:amd64",
    "qemu-user-static",
];

/// An emulated processor is slow, and signing a certificate is much work.
const READY_WITHIN: Duration = Duration::from_secs(120);

/// What was asked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Options {
    profile: String,
}

impl Options {
    pub(crate) fn parse(args: &[&str]) -> Result<Self, String> {
        match args {
            [] => Ok(Self { profile: "dist".to_owned() }),
            ["--profile", profile] => Ok(Self { profile: (*profile).to_owned() }),
            other => Err(format!("what is {}?", other.join(" "))),
        }
    }
}

pub(crate) fn run(options: &Options) -> Result<(), String> {
    stage("a compiler for arm64");
    let folder = workspace().join("target/cross");
    let root = compiler(&folder)?;
    if Command::new(LINKER).arg("--version").output().is_err() || !Path::new(HEADER).exists() {
        peers::install(C_PACKAGES)?;
    }
    let rustc = wrapper(&folder, &root)?;
    print!("{}", said(Command::new(&rustc).arg("--version"))?);

    stage("building");
    let since = Instant::now();
    let mut build = cargo();
    build.args(["build", "--locked", "--package", "irp", "--target", TARGET, "--profile", &options.profile]);
    build.arg("--target-dir").arg(folder.join("build")).env("RUSTC", &rustc);
    build.env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER", LINKER);
    succeed(&mut build)?;
    println!("{} s", since.elapsed().as_secs());

    stage("running it");
    let built = if options.profile == "dev" { "debug" } else { &options.profile };
    let program = folder.join("build").join(TARGET).join(built).join("irp");
    self_test(&root.join("usr/bin/qemu-aarch64-static"), &program)?;
    // Only what is published has to be small.
    inspect(&program, if options.profile == "dist" { MB_MAX } else { u64::MAX })?;
    println!("{}", program.display());
    Ok(())
}

/// Unpacks what is needed below the folder, once.
fn compiler(folder: &Path) -> Result<PathBuf, String> {
    let root = folder.join("root");
    let stamp = folder.join("unpacked");
    let wanted = PACKAGES.join("\n");
    if fs::read_to_string(&stamp).is_ok_and(|unpacked| unpacked == wanted) {
        return Ok(root);
    }
    let (lists, cache, packages) = (folder.join("lists"), folder.join("cache"), folder.join("packages"));
    for needed in [&lists.join("partial"), &cache.join("archives/partial"), &packages, &root] {
        fs::create_dir_all(needed).map_err(|error| in_words(needed, &error))?;
    }
    // Lists of its own, so that the machine does not become one for two architectures.
    let config = folder.join("apt.conf");
    let text = format!(
        "Dir::State::Lists \"{}\";\nDir::Cache \"{}\";\nAPT::Architectures {{ \"amd64\"; \"arm64\"; }};\n\
         APT::Sandbox::User \"root\";\n",
        lists.display(),
        cache.display(),
    );
    fs::write(&config, text).map_err(|error| in_words(&config, &error))?;
    let apt = || {
        let mut apt = Command::new("apt-get");
        apt.arg("-qq").env("APT_CONFIG", &config).current_dir(&packages);
        apt
    };
    succeed(apt().arg("update"))?;
    succeed(apt().arg("download").args(PACKAGES))?;
    for entry in fs::read_dir(&packages).map_err(|error| in_words(&packages, &error))? {
        let package = entry.map_err(|error| in_words(&packages, &error))?.path();
        succeed(Command::new("dpkg-deb").arg("--extract").arg(&package).arg(&root))?;
    }
    fs::write(&stamp, wanted).map_err(|error| in_words(&stamp, &error))?;
    Ok(root)
}

/// The compiler looks for its libraries where the package would have put them.
fn wrapper(folder: &Path, root: &Path) -> Result<PathBuf, String> {
    let script = folder.join("rustc");
    let root = root.display();
    let text = format!(
        "#!/bin/sh\nLD_LIBRARY_PATH={root}/usr/lib:{root}/usr/lib/x86_64-linux-gnu exec {root}/usr/bin/rustc \"$@\"\n"
    );
    fs::write(&script, text).map_err(|error| in_words(&script, &error))?;
    succeed(Command::new("chmod").arg("755").arg(&script))?;
    Ok(script)
}

/// A whole edge, a client and a visitor: TLS, signatures, certificates, HTTP/2, in the emulated processor.
fn self_test(qemu: &Path, program: &Path) -> Result<(), String> {
    let home = std::env::temp_dir().join(format!("irp-cross-{}", std::process::id()));
    fs::create_dir_all(&home).map_err(|error| in_words(&home, &error))?;
    let irp = |arguments: &[&str]| {
        let mut irp = Command::new(qemu);
        irp.args(["-L", LIBRARIES]).arg(program).args(arguments);
        irp.env_clear().env("HOME", &home).env("USER", "alice").current_dir(&home);
        irp
    };
    let version = said(&mut irp(&["--version"]))?;
    let keygen = said(&mut irp(&["keygen"]))?;
    let mut generate = irp(&["generate"]);
    generate.env("HOSTED_ZONE_DOMAIN", "proxy.example.com").env("EDGE_DL_URL", "https://example.com/irp");
    let user_data = said(generate.env("EDGE_SHA256", "0".repeat(64)))?;
    if !keygen.starts_with("ssh-ed25519 ") || !user_data.starts_with("#cloud-config") {
        return Err(format!("it says:\n{keygen}{user_data}"));
    }
    let mut up = irp(&["up", "--local", "--json"])
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| error.to_string())?;
    let answer = visit(&mut up, || said(&mut irp(&["ca", "path"])));
    let _ = up.kill();
    let _ = up.wait();
    let _ = fs::remove_dir_all(&home);
    let answer = answer?;
    if !answer.contains("\"/from-here\"") {
        return Err(format!("a visitor got:\n{answer}"));
    }
    println!("{}: a visitor got an answer through edge and tunnel", version.trim());
    Ok(())
}

fn visit(up: &mut Child, authority: impl Fn() -> Result<String, String>) -> Result<String, String> {
    let deadline = Instant::now() + READY_WITHIN;
    let out = up.stdout.take().ok_or("it has no stdout")?;
    for line in BufReader::new(out.take(1 << 20)).lines() {
        let line = line.map_err(|error| error.to_string())?;
        if let Some(port) = line.strip_prefix("{\"event\":\"url\"").and_then(port) {
            let url = format!("https://localhost:{port}/from-here");
            let authority = authority()?;
            let mut curl = Command::new("curl");
            return said(curl.args(["-sS", "--max-time", "60", "--cacert", authority.trim(), &url]));
        }
        if Instant::now() > deadline {
            break;
        }
    }
    Err("it does not become ready".to_owned())
}

/// The port of the first URL in a line.
fn port(line: &str) -> Option<&str> {
    let port = line.split("localhost:").nth(1)?;
    port.split(|letter: char| !letter.is_ascii_digit()).next()
}

fn in_words(path: &Path, error: &std::io::Error) -> String {
    format!("{}: {error}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_is_read_out_of_an_event() {
        let line = r#"{"event":"url","upstream":"x","url":"https://alice.localhost:8444"}"#;
        assert_eq!(port(line), Some("8444"));
        assert_eq!(port("{}"), None);
    }

    #[test]
    fn a_profile_may_be_named() {
        assert_eq!(Options::parse(&["--profile", "dev"]), Ok(Options { profile: "dev".to_owned() }));
        assert!(Options::parse(&["dev"]).is_err());
    }
}
