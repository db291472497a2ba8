//! A registry of npm on this machine, to which the packages are published as a release publishes them: whoever has nothing
//! installed types `npx instant-reverse-proxy`, and gets the launcher and, of five programs, the one of this platform.

use std::{
    fs,
    net::TcpStream,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use irp_testkit::{
    node,
    patience::eventually_blocking,
    process::{Peer, find},
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    packed::{PLATFORM, STRIPPED, said, well, xtask},
    program::{Running, ca_path, curl, free_port},
};

/// Nobody but who has an account publishes, everybody reads, and what is not here is nowhere.
const CONFIG: &str = "storage: ./packages
auth:
  htpasswd:
    file: ./accounts
packages:
  '**':
    access: $all
    publish: $authenticated
max_body_size: 200mb
log:
  type: stdout
  level: warn
";

const PLATFORMS: &[&str] = &["darwin-arm64", "darwin-x64", "linux-arm64", "linux-x64", "win32-x64"];

#[test]
fn npx_takes_the_launcher_and_the_program_of_this_platform_from_a_registry() {
    let home = TempDir::new().unwrap();
    let registry = Registry::start(&home.path().join("registry"));
    let visitor = home.path().join("visitor");
    fs::create_dir(&visitor).unwrap();
    let tarballs = tarballs(home.path());
    for tarball in &tarballs {
        let mut publish = registry.npm("npm", home.path());
        well(publish.args(["publish", "--access", "public"]).arg(tarball));
    }
    let port = free_port().to_string();
    let mut up = registry.npm("npx", &visitor);
    up.args(["--yes", "instant-reverse-proxy", "up", "--local", "--json", "--port", &port]);
    // A terminal sends its Ctrl-C to all of a group.
    up.process_group(0);
    let mut up = Running::start(up, home.path().join("up.log"));
    up.event("url");
    let ca = ca_path(&visitor);
    assert!(curl(&ca, &[&format!("https://localhost:{port}/from-a-registry")]).contains("/from-a-registry"));
    assert_eq!(installed(&visitor), [PLATFORM]);
    let mut kill = Command::new(find("kill", "procps").unwrap());
    well(kill.args(["-INT", "--", &format!("-{}", up.id())]));
    // npx ends by the signal itself, and irp as gently as ever.
    up.end();
    eventually_blocking("irp has ended", || TcpStream::connect(format!("127.0.0.1:{port}")).is_err());
}

/// All packages, the programs first. For other platforms any file will do.
fn tarballs(home: &Path) -> Vec<PathBuf> {
    let other = home.join("other");
    fs::write(&other, "for another platform").unwrap();
    let mut npm = xtask("npm");
    for platform in PLATFORMS {
        let program = if *platform == PLATFORM { &STRIPPED.program } else { &other };
        npm.arg(format!("{platform}={}", program.display()));
    }
    // A folder below the one where it is called, as somebody would type it.
    well(npm.current_dir(home).args(["--out", "npm"]));
    let version = env!("CARGO_PKG_VERSION");
    let names = PLATFORMS.iter().map(|platform| format!("{platform}-{version}")).chain([version.to_owned()]);
    names.map(|name| home.join(format!("npm/instant-reverse-proxy-{name}.tgz"))).collect()
}

/// The platforms of which npx has installed the program.
fn installed(home: &Path) -> Vec<String> {
    let runs = fs::read_dir(home.join(".npm/_npx")).unwrap().map(|run| run.unwrap().path());
    let scopes = runs.map(|run| run.join("node_modules/@instant-reverse-proxy"));
    let programs = scopes.flat_map(|scope| fs::read_dir(scope).unwrap());
    programs.map(|program| program.unwrap().file_name().into_string().unwrap()).collect()
}

/// A registry under way, and somebody who may publish.
struct Registry {
    url: String,
    token: String,
    _peer: Peer,
}

impl Registry {
    fn start(folder: &Path) -> Self {
        fs::create_dir(folder).unwrap();
        fs::write(folder.join("config.yaml"), CONFIG).unwrap();
        let at = format!("127.0.0.1:{}", free_port());
        let verdaccio = node::program("verdaccio").unwrap().canonicalize().unwrap();
        let mut command = Command::new(find("node", "nodejs").unwrap());
        command.arg(verdaccio).args(["--listen", &at, "--config"]).arg(folder.join("config.yaml"));
        let mut peer = Peer::start(command, "verdaccio from npm", &folder.join("log")).unwrap();
        let url = format!("http://{at}");
        peer.wait_until(|| ask(&[&format!("{url}/-/ping")]).is_some()).unwrap();
        let account = json!({ "name": "irp", "password": "only for this test" }).to_string();
        let join = format!("{url}/-/user/org.couchdb.user:irp");
        let told = ask(&["-X", "PUT", "-H", "content-type: application/json", "-d", &account, &join]);
        let told: Value = serde_json::from_str(&told.unwrap()).unwrap();
        Self { url, token: told["token"].as_str().unwrap().to_owned(), _peer: peer }
    }

    /// npm or npx of somebody whose home this is, and who knows no other registry.
    fn npm(&self, program: &str, home: &Path) -> Command {
        let host = self.url.trim_start_matches("http:");
        let settings = format!("registry={}/\n{host}/:_authToken={}\naudit=false\n", self.url, self.token);
        fs::write(home.join(".npmrc"), settings).unwrap();
        let node = find("node", "nodejs").unwrap();
        let path = format!("{}:/usr/bin:/bin", node.parent().unwrap().display());
        let mut command = Command::new(find(program, "npm").unwrap());
        command.env_clear().env("PATH", path).env("HOME", home).env("USER", "alice").current_dir(home);
        command
    }
}

fn ask(arguments: &[&str]) -> Option<String> {
    let mut curl = Command::new(find("curl", "curl").unwrap());
    let output =
        curl.args(["-sS", "--fail", "--max-time", "20", "--noproxy", "*"]).args(arguments).output().unwrap();
    output.status.success().then(|| said(&output))
}
