//! The container file, built as it stands by buildah, and the edge in it. The two images that it begins with are far away:
//! stand-ins have their names, with what the file needs of them. That of Rust compiles nothing; its cargo gives out the
//! program of this build. Needs root.

use std::{
    fs,
    os::unix::{
        fs::{PermissionsExt as _, chown},
        process::CommandExt as _,
    },
    path::{Path, PathBuf},
    process::Command,
};

use irp_testkit::{origin::Origin, process::find, visitor::Curl};
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::Value;
use tempfile::TempDir;

use crate::{
    packed::{ROOT, STRIPPED, said, well},
    program::{Running, irp},
};

const FILE: &str = "packaging/container/Containerfile";

/// Below localhost, so that a certificate comes without the Internet.
const NAME: &str = "alice.localhost";

/// The account of distroless images that is not root.
const NONROOT: u32 = 65532;

/// Asked for anything but what a release builds, it fails.
const CARGO: &str = "#!/bin/sh
set -eu
[ \"$*\" = 'build --locked --profile dist --package irp' ]
[ -f Cargo.lock ] && [ ! -e target ] && [ ! -e .git ]
mkdir -p target/dist
cp /usr/share/irp target/dist/irp
";

#[test]
fn the_container_file_builds_and_its_edge_answers() {
    let home = TempDir::new().unwrap();
    let images = Images(home.path().join("images"));
    images.rust(&home.path().join("rust"));
    images.distroless(&home.path().join("distroless"));
    let mut build = images.buildah(&["build", "--pull-never", "--tag", "irp", "--file", FILE, "."]);
    well(build.current_dir(ROOT));

    let config = images.config("irp");
    assert_eq!(config["User"], NONROOT.to_string());
    let ports: Vec<_> = config["ExposedPorts"].as_object().unwrap().keys().collect();
    assert_eq!(ports, ["443/tcp", "80/tcp"]);
    let words = |key: &str| {
        let words = config[key].as_array().unwrap().iter();
        words.map(|word| word.as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let container = images.container("irp");
    let root = images.root(&container);
    let public = irp(home.path(), &["--json", "keygen"]).output().unwrap();
    let public: Value = serde_json::from_slice(&public.stdout).unwrap();
    let edge = format!(
        "listen = [\"127.0.0.1:0\"]\n[certificate]\nmode = \"local\"\n[[key]]\npublic = {}\nnames = [{NAME:?}]\n",
        public["public"]
    );
    fs::write(home.path().join("edge.toml"), edge).unwrap();
    let volume = format!("{}:/etc/irp/edge.toml:ro", home.path().join("edge.toml").display());
    let mut run = images.buildah(&["run", "--volume", &volume, &container, "--"]);
    run.args(words("Entrypoint")).args(words("Cmd")).arg("--json").process_group(0);
    let mut edge = Running::start(run, home.path().join("edge.log"));
    let _group = Group::of(&edge);
    let address = edge.event("listening")["addresses"][0].as_str().unwrap().to_owned();

    let mut ca = images.buildah(&["run", &container, "--", "/usr/bin/irp", "ca", "path"]);
    let ca = String::from_utf8(well(&mut ca).stdout).unwrap();
    let ca = root.join(ca.trim().trim_start_matches('/'));
    let port = address.rsplit(':').next().unwrap();
    let (host, origin) = (format!("{NAME}:{port}"), Origin::start());
    let upstream = origin.address().to_string();
    let mut client = irp(home.path(), &["--json", "connect", &host, &upstream, "--connect-to", &address]);
    client.arg("--cacert").arg(&ca);
    let mut client = Running::start(client, home.path().join("client.log"));
    client.event("connected");
    let visitor = Curl::new().trusting(&ca).resolving(NAME, address.parse().unwrap());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let reply = runtime.block_on(visitor.get(&format!("https://{host}/from-a-container"))).unwrap();
    assert_eq!(reply.status, 200, "{}", edge.log());
    client.interrupt();
    assert!(client.end().success());
}

/// A program with all that it has started; buildah would leave the container's program behind.
struct Group(Option<Pid>);

impl Group {
    fn of(leader: &Running) -> Self {
        Self(i32::try_from(leader.id()).ok().and_then(Pid::from_raw))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(leader) = self.0 {
            let _ = kill_process_group(leader, Signal::KILL);
        }
    }
}

/// Images and containers of the test alone.
struct Images(PathBuf);

impl Images {
    /// Works where a container has neither a file system of its own nor its own network: in containers, too.
    fn buildah(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(find("buildah", "buildah").unwrap());
        command.args(["--storage-driver", "vfs", "--root"]).arg(self.0.join("images"));
        command.arg("--runroot").arg(self.0.join("run")).args(arguments);
        command.env("BUILDAH_ISOLATION", "chroot");
        command
    }

    fn said(&self, arguments: &[&str]) -> String {
        String::from_utf8(well(&mut self.buildah(arguments)).stdout).unwrap().trim().to_owned()
    }

    /// An image that has these files.
    fn make(&self, name: &str, files: &Path, config: &[&str]) {
        let container = self.said(&["from", "scratch"]);
        // By `buildah add`, they would all be root's.
        let mut copy = Command::new(find("cp", "coreutils").unwrap());
        well(copy.arg("--archive").arg(files.join(".")).arg(self.root(&container)));
        self.said(&[&["config"], config, &[&container]].concat());
        self.said(&["commit", "--rm", &container, name]);
    }

    /// What the file needs of the image of Rust: a shell, and what it runs by it.
    fn rust(&self, files: &Path) {
        let tree = Tree(files);
        for program in ["cp", "mkdir", "rm", "sh"] {
            tree.program(&find(program, "coreutils").unwrap());
        }
        tree.script("usr/local/bin/apt-get", "#!/bin/sh\n");
        tree.script("usr/local/bin/cargo", CARGO);
        tree.copy(&STRIPPED.program, "usr/share/irp");
        self.make(
            "docker.io/library/rust:1.95-bookworm",
            files,
            &["--env", "PATH=/usr/local/bin:/usr/bin:/bin"],
        );
    }

    /// What irp needs of a system: the C library, an account, and nothing else.
    fn distroless(&self, files: &Path) {
        let tree = Tree(files);
        tree.libraries(&STRIPPED.program);
        let accounts =
            format!("root:x:0:0::/root:/none\nnonroot:x:{NONROOT}:{NONROOT}::/var/nonroot:/none\n");
        tree.write("etc/passwd", &accounts);
        tree.write("etc/group", &format!("root:x:0:\nnonroot:x:{NONROOT}:\n"));
        let home = files.join("var/nonroot");
        fs::create_dir_all(&home).unwrap();
        chown(&home, Some(NONROOT), Some(NONROOT)).unwrap();
        let user = NONROOT.to_string();
        self.make(
            "gcr.io/distroless/cc-debian12:nonroot",
            files,
            &["--user", &user, "--workingdir", "/var/nonroot"],
        );
    }

    /// How a container of the image is run.
    fn config(&self, image: &str) -> Value {
        let told = self.said(&["inspect", "--type", "image", image]);
        let told: Value = serde_json::from_str(&told).unwrap();
        told["OCIv1"]["config"].clone()
    }

    fn container(&self, image: &str) -> String {
        self.said(&["from", "--pull-never", image])
    }

    /// Where its files are.
    fn root(&self, container: &str) -> PathBuf {
        self.said(&["mount", container]).into()
    }
}

/// A root of files that becomes an image.
struct Tree<'a>(&'a Path);

impl Tree<'_> {
    fn place(&self, path: &str) -> PathBuf {
        let place = self.0.join(path.trim_start_matches('/'));
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        place
    }

    fn write(&self, path: &str, text: &str) {
        fs::write(self.place(path), text).unwrap();
    }

    fn script(&self, path: &str, text: &str) {
        self.write(path, text);
        fs::set_permissions(self.place(path), fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn copy(&self, from: &Path, path: &str) {
        fs::copy(from, self.place(path)).unwrap();
    }

    /// A program of this machine, in /bin.
    fn program(&self, from: &Path) {
        self.copy(from, &format!("bin/{}", from.file_name().unwrap().to_str().unwrap()));
        self.libraries(from);
    }

    /// What a program is linked with.
    fn libraries(&self, program: &Path) {
        let linked = well(Command::new(find("ldd", "libc-bin").unwrap()).arg(program));
        for path in said(&linked).split_whitespace().filter(|word| word.starts_with('/')) {
            self.copy(Path::new(path), path);
        }
    }
}
