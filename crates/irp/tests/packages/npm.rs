//! The packages for npm: packed, installed without a network, and used as a project uses them.

use std::{ffi::OsString, fs, path::Path, process::Command};

use irp_testkit::{node, process::find};
use serde_json::Value;
use tempfile::TempDir;

use crate::{
    packed::{NPM, PLATFORM, ROOT, WINDOWS, said, well},
    program::{Running, ca_path, curl, free_port},
};

/// A project whose package.json is the example's, with these packages installed. It is a home as well.
struct Project(TempDir);

impl Project {
    fn with(packages: &[&Path]) -> Self {
        let project = Self(TempDir::new().unwrap());
        let manifest = format!("{ROOT}/packaging/npm/example/package.json");
        let mut manifest: Value = serde_json::from_slice(&fs::read(manifest).unwrap()).unwrap();
        // What is installed below is all that it needs.
        for dependencies in ["dependencies", "devDependencies"] {
            manifest.as_object_mut().unwrap().remove(dependencies).unwrap();
        }
        fs::write(project.path().join("package.json"), manifest.to_string()).unwrap();
        let mut install = project.command(&find("npm", "npm").unwrap());
        install.args(["install", "--offline", "--ignore-scripts", "--no-audit", "--no-fund"]);
        well(install.args(packages));
        project
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// A program in the project, with nothing of the environment of whoever runs the test.
    fn command(&self, program: &Path) -> Command {
        let node = find("node", "nodejs").unwrap();
        let mut path = OsString::from(self.path().join("node_modules/.bin"));
        for folder in [node.parent().unwrap(), Path::new("/usr/bin"), Path::new("/bin")] {
            path.push(":");
            path.push(folder);
        }
        let mut command = Command::new(program);
        command.env_clear().env("PATH", path).env("HOME", self.path()).env("USER", "alice");
        command.current_dir(self.path());
        command
    }
}

#[test]
fn npx_starts_the_program_and_passes_on_signals_and_exit_codes() {
    let project = Project::with(&[&NPM.launcher, &NPM.program]);
    let npx = find("npx", "npm").unwrap();
    let version = well(project.command(&npx).args(["irp", "--version"]));
    assert_eq!(version.stdout, format!("irp {}\n", env!("CARGO_PKG_VERSION")).into_bytes());

    let launcher = project.path().join("node_modules/.bin/irp");
    let wrong = project.command(&launcher).args(["up", "--no-such-flag"]).output().unwrap();
    assert_eq!(wrong.status.code(), Some(2), "{}", said(&wrong));
    let port = free_port();
    let mut up = project.command(&launcher);
    up.args(["up", "--local", "--json", "--port", &port.to_string()]);
    let mut up = Running::start(up, project.path().join("up.log"));
    up.event("url");
    let ca = ca_path(project.path());
    assert!(curl(&ca, &[&format!("https://localhost:{port}/npm")]).contains("/npm"));
    up.interrupt();
    // One signal, and a gentle end.
    assert_eq!(up.end().code(), Some(0));
}

#[test]
fn the_script_of_the_original_prints_user_data_alone() {
    let project = Project::with(&[&NPM.launcher, &NPM.program]);
    let mut yarn = project.command(&node::program("yarn").unwrap());
    yarn.args(["-s", "generate"]).env("HOSTED_ZONE_DOMAIN", "proxy.example.com");
    let output = well(yarn.env("EDGE_DL_URL", "https://example.com/irp").env("EDGE_SHA256", "0".repeat(64)));
    let user_data = String::from_utf8(output.stdout).unwrap();
    assert!(user_data.starts_with("#cloud-config\n"), "{user_data}");
}

#[test]
fn a_program_gets_a_tunnel_with_types() {
    let project = Project::with(&[&NPM.launcher, &NPM.program]);
    let script = project.path().join("use.mts");
    fs::write(&script, include_str!("use.mts")).unwrap();
    let mut compile = project.command(&node::program("tsc").unwrap());
    compile.args(["--strict", "--module", "nodenext", "--target", "es2022"]);
    well(compile.arg(&script));
    let mut use_it = project.command(&find("node", "nodejs").unwrap());
    use_it.args(["use.mjs", &free_port().to_string()]);
    let output = well(&mut use_it);
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(told["answer"], "from the test");
    assert_eq!(told["events"], true);
    assert_eq!(told["failure"], "user 2");
    // Everything has ended, or node would not have.
}

#[test]
fn on_windows_the_launcher_takes_the_program_of_windows() {
    let project = Project::with(&[&NPM.launcher]);
    // npm installs nothing of another system, so this is what it would have done there.
    let windows = project.path().join("node_modules/@instant-reverse-proxy/win32-x64");
    fs::create_dir_all(&windows).unwrap();
    let mut unpack = Command::new(find("tar", "tar").unwrap());
    well(unpack.args(["--strip-components=1", "-xzf"]).arg(&*WINDOWS).arg("-C").arg(&windows));
    let manifest: Value = serde_json::from_slice(&fs::read(windows.join("package.json")).unwrap()).unwrap();
    assert_eq!(manifest["os"], serde_json::json!(["win32"]));
    assert_eq!(manifest["cpu"], serde_json::json!(["x64"]));
    let script = "Object.defineProperty(process, 'platform', { value: 'win32' }); \
                  Object.defineProperty(process, 'arch', { value: 'x64' }); \
                  console.log(require('./node_modules/instant-reverse-proxy/lib/program.js').program())";
    let told = well(project.command(&find("node", "nodejs").unwrap()).args(["-e", script]));
    let program = windows.join("bin/irp.exe").canonicalize().unwrap();
    assert_eq!(Path::new(String::from_utf8(told.stdout).unwrap().trim()), program);
}

#[test]
fn a_platform_that_is_missing_is_told_with_what_to_type() {
    let project = Project::with(&[&NPM.launcher]);
    let output = project.command(&project.path().join("node_modules/.bin/irp")).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let version = env!("CARGO_PKG_VERSION");
    let said = said(&output);
    for line in [
        format!("error: the package @instant-reverse-proxy/{PLATFORM} is missing\n"),
        format!("hint: npm install --include=optional @instant-reverse-proxy/{PLATFORM}@{version}\n"),
    ] {
        assert!(said.contains(&line), "{said}");
    }
    assert!(said.contains("because: "), "{said}");
}
