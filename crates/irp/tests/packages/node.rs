//! The packages for npm on a Debian that has nothing but Node: no compiler, no Rust, no network.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use irp_testkit::{machine::Machine, namespace::Namespace, node, process::find};
use serde_json::Value;
use tempfile::TempDir;

use crate::{
    image::{Image, USER, run},
    packed::{NPM, PLATFORM, ROOT, said, well},
    program::WITHIN,
};

/// Where the project is on the machine.
const PROJECT: &str = "/srv/alice/bot";

/// The machine has no other edge.
const PORT: &str = "8443";

#[test]
fn with_nothing_but_node_npx_gives_a_program_an_https_url() {
    let packages = [("launcher.tgz", &NPM.launcher), ("program.tgz", &NPM.program)];
    let network = Namespace::new("node").unwrap();
    network.run(move || {
        let home = TempDir::new().unwrap();
        let image = with_node(home.path());
        for (name, tarball) in packages {
            image.copy(tarball, &format!("{PROJECT}/{name}"));
        }
        let manifest = format!("{ROOT}/packaging/npm/example/package.json");
        let mut manifest: Value = serde_json::from_slice(&fs::read(manifest).unwrap()).unwrap();
        // What is installed is all that there is.
        for dependencies in ["dependencies", "devDependencies"] {
            manifest.as_object_mut().unwrap().remove(dependencies).unwrap();
        }
        image.write(&format!("{PROJECT}/package.json"), &manifest.to_string());
        image.write(&format!("{PROJECT}/use.mjs"), &compiled(home.path()));
        let machine = image.boot();
        run(&machine, &["useradd", "--home-dir", "/srv/alice", USER]);
        run(&machine, &["chown", "-R", USER, "/srv/alice"]);

        the_missing_platform_is_told(&machine);
        as_user(&machine, "npm install --offline --no-audit --no-fund ./program.tgz ./launcher.tgz");
        let version = format!("irp {}\n", env!("CARGO_PKG_VERSION"));
        assert_eq!(as_user(&machine, "npx --offline irp --version"), version);
        assert_eq!(as_user(&machine, "npx --offline instant-reverse-proxy --version"), version);
        a_visitor_gets_an_answer(&machine);
        the_typed_entry_works(&machine);
        the_originals_script_works(&machine);
    });
}

/// Debian, and the Node of this machine: the program, what it is linked with, and npm.
fn with_node(home: &Path) -> Image {
    let image = Image::new(home);
    let program = find("node", "nodejs").unwrap();
    image.copy(&program.canonicalize().unwrap(), "/usr/bin/node");
    let linked = well(Command::new(find("ldd", "libc-bin").unwrap()).arg(&program));
    let root = Path::new(ROOT).join("target/peers/root");
    for path in said(&linked).split_whitespace().filter(|word| word.starts_with('/')) {
        let path = Path::new(path);
        // What Debian has stays Debian's.
        if !root.join(path.strip_prefix("/").unwrap()).exists() {
            image.copy(path, path.to_str().unwrap());
        }
    }
    // Beside npm are the packages that it uses, if it has not its own.
    let npm = find("npm", "npm").unwrap().canonicalize().unwrap();
    let packages = npm.ancestors().nth(3).unwrap();
    image.copy_folder(packages, packages.to_str().unwrap());
    for name in ["npm", "npx"] {
        let script = find(name, "npm").unwrap().canonicalize().unwrap();
        image.link(&format!("/usr/bin/{name}"), &script);
    }
    image
}

/// The script that uses the typed entry, compiled against the packages' types, since TypeScript is not on the machine.
fn compiled(home: &Path) -> String {
    let folder: PathBuf = home.join("compiling");
    let package = folder.join("node_modules/instant-reverse-proxy");
    fs::create_dir_all(&package).unwrap();
    let mut tar = Command::new(find("tar", "tar").unwrap());
    tar.args(["--extract", "--strip-components=1", "--file"])
        .arg(&NPM.launcher)
        .arg("--directory")
        .arg(package);
    well(&mut tar);
    fs::write(folder.join("use.mts"), include_str!("use.mts")).unwrap();
    let mut compile = Command::new(node::program("tsc").unwrap());
    compile.args(["--strict", "--module", "nodenext", "--target", "es2022", "use.mts"]).current_dir(&folder);
    well(&mut compile);
    fs::read_to_string(folder.join("use.mjs")).unwrap()
}

/// A line for a shell of the user, in the project.
fn shell(line: &str) -> Vec<String> {
    let line = format!("cd {PROJECT} && {line}");
    let words = ["runuser", "--user", USER, "--", "env", "HOME=/srv/alice", "USER=alice", "sh", "-c", &line];
    words.map(str::to_owned).to_vec()
}

fn as_user(machine: &Machine, line: &str) -> String {
    run(machine, &shell(line).iter().map(String::as_str).collect::<Vec<_>>())
}

/// Without the program's package, which npm leaves out where it is told to.
fn the_missing_platform_is_told(machine: &Machine) {
    as_user(machine, "npm install --offline --no-audit --no-fund ./launcher.tgz");
    let line = shell("npx --offline irp up --local");
    let output = machine.run(&line.iter().map(String::as_str).collect::<Vec<_>>()).unwrap();
    let (said, version) = (said(&output), env!("CARGO_PKG_VERSION"));
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains(&format!("error: the package @instant-reverse-proxy/{PLATFORM} is missing\n")),
        "{said}"
    );
    let hint = format!("hint: npm install --include=optional @instant-reverse-proxy/{PLATFORM}@{version}\n");
    assert!(said.contains(&hint), "{said}");
}

/// `npx irp up --local`, as a person types it; its end takes everything along.
fn a_visitor_gets_an_answer(machine: &Machine) {
    let (folder, out) = (format!("--working-directory={PROJECT}"), "--property=StandardOutput=file:/tmp/url");
    let errors = "--property=StandardError=journal";
    let start =
        ["systemd-run", "--unit=up", "--uid=alice", &folder, out, errors, "--property=KillSignal=SIGINT"];
    let environment = ["--setenv=HOME=/srv/alice", "--setenv=USER=alice", "--setenv=PATH=/usr/bin:/bin"];
    let up = ["npx", "--offline", "irp", "up", "--local", "--port", PORT];
    run(machine, &[&start[..], &environment, &up].concat());
    let url = format!("https://alice.localhost:{PORT}");
    machine.wait_until("there is a URL", WITHIN, || {
        fs::read_to_string(machine.file("/tmp/url")).is_ok_and(|text| text == format!("{url}\n"))
    });
    let ca = as_user(machine, "npx --offline irp ca path");
    let to = format!("alice.localhost:{PORT}:127.0.0.1");
    let visit = ["curl", "-sS", "--cacert", ca.trim_end(), "--resolve", &to, &format!("{url}/from-npm")];
    assert!(run(machine, &visit).contains("/from-npm"));
    run(machine, &["systemctl", "stop", "up"]);
    assert_eq!(machine.ask(&["pgrep", "--uid", USER]), "");
}

fn the_typed_entry_works(machine: &Machine) {
    let told: Value = serde_json::from_str(&as_user(machine, &format!("node use.mjs {PORT}"))).unwrap();
    assert_eq!(told["answer"], "from the test");
    assert_eq!(told["events"], true);
    assert_eq!(told["failure"], "user 2");
}

fn the_originals_script_works(machine: &Machine) {
    let settings = "HOSTED_ZONE_DOMAIN=proxy.example.com EDGE_DL_URL=https://example.com/irp";
    let user_data =
        as_user(machine, &format!("{settings} EDGE_SHA256={} npm run -s generate", "0".repeat(64)));
    assert!(user_data.starts_with("#cloud-config\n"), "{user_data}");
}
