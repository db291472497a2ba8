//! `irp up` from the account to a request through the URL. The machine is one of moto, which runs nothing; its edge is a
//! real one beside it, with what the machine would have read from its user-data.

use std::{fs, process::Output};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use irp_testkit::{
    acme::{Pebble, PebbleOptions},
    detour::Detour,
    dns::Responder,
    origin::Origin,
    patience::eventually_blocking,
    process::find,
};
use serde_json::Value;

use super::{
    role::{ask, signed},
    stage::{NAME, Stage},
};
use crate::{
    acme::issuing_root,
    edge::{Edge, key_table},
    program::{Running, curl, free_port, irp},
};

/// An account that `irp setup` has prepared, a program behind the tunnel, and a port for the edge.
struct Scene {
    stage: Stage,
    origin: Origin,
    /// Where AWS is for the person.
    aws: String,
}

impl Scene {
    async fn set() -> Self {
        let mut stage = Stage::set().await;
        stage.port = free_port();
        fs::write(stage.file(".env"), "HOSTED_ZONE_DOMAIN=irp.test\n").unwrap();
        // A program for the machine, as far as anybody looks at it.
        let mut program = vec![0_u8; 64];
        program[..6].copy_from_slice(b"\x7fELF\x02\x01");
        program[18] = 183;
        fs::write(stage.file("irp-arm64"), program).unwrap();
        let aws = stage.moto.url();
        let scene = Self { stage, origin: Origin::start(), aws };
        let setup = scene.run(&["setup"]);
        assert!(setup.status.success(), "{}", String::from_utf8_lossy(&setup.stderr));
        scene
    }

    fn command(&self, arguments: &[&str]) -> std::process::Command {
        let mut command = irp(self.stage.home.path(), arguments);
        command.envs(self.stage.moto.environment()).env("AWS_ENDPOINT_URL", &self.aws);
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// `irp up` to the program behind the tunnel. moto's machines have addresses of the Internet: the edge is dialled here.
    fn arguments(&self, more: &[&str]) -> Vec<String> {
        self.arguments_for(self.origin.port(), more)
    }

    /// The same to another program.
    fn arguments_for(&self, port: u16, more: &[&str]) -> Vec<String> {
        let (port, edge) = (port.to_string(), format!("127.0.0.1:{}", self.stage.port));
        let own =
            ["up", &port, "--edge-binary", "irp-arm64", "--connect-to", &edge, "--cacert", &self.stage.root];
        own.iter().chain(more).map(|text| (*text).to_owned()).collect()
    }

    fn up(&self, more: &[&str]) -> Running {
        let arguments = self.arguments(more);
        let arguments: Vec<&str> =
            ["--json"].into_iter().chain(arguments.iter().map(String::as_str)).collect();
        Running::start(self.command(&arguments), self.stage.file("up.log"))
    }

    /// What the user-data of a machine write to a file.
    fn file_of(&self, id: &str, path: &str) -> String {
        let ask = ["ec2", "describe-instance-attribute", "--instance-id", id, "--attribute", "userData"];
        let data = self.stage.moto.cli(&ask).unwrap();
        let data = BASE64_STANDARD.decode(data["UserData"]["Value"].as_str().unwrap()).unwrap();
        let data = String::from_utf8(data).unwrap();
        let data: Value = serde_json::from_str(data.strip_prefix("#cloud-config\n").unwrap()).unwrap();
        let mut files = data["write_files"].as_array().unwrap().iter();
        let file = files.find(|file| file["path"] == path).unwrap();
        file["content"].as_str().unwrap().to_owned()
    }

    /// Boots the machine that `irp up` tells: the edge knows whom the user-data name.
    fn boot(&mut self, machine: &Value) -> Edge {
        let config: toml::Table =
            self.file_of(machine["id"].as_str().unwrap(), "/etc/irp/edge.toml").parse().unwrap();
        assert_eq!(config["aws"]["zone"].as_str(), Some("irp.test"));
        let key = &config["key"][0];
        assert_eq!(key["names"][0].as_str(), Some(NAME));
        self.stage.tables = key_table(key["public"].as_str().unwrap(), &[NAME]);
        self.stage.imds.set("public-ipv4", machine["address"].as_str().unwrap());
        self.stage.boot(1.0)
    }

    /// A request through the URL reaches the program.
    fn visit(&self, edge: &Edge) {
        let answer = edge.visit(&self.stage.root, NAME).unwrap();
        assert!(answer.status == 200 && answer.body.contains("\"/page\""), "{answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_command_leads_from_the_account_to_a_request_and_the_next_uses_the_same_machine() {
    let mut scene = Scene::set().await;
    let mut up = scene.up(&[]);
    let machine = up.event("machine");
    assert_eq!(machine["launched"], true);

    // What it would download is the program, and nobody without the URL gets it.
    let boot = scene.file_of(machine["id"].as_str().unwrap(), "/etc/irp/boot.env");
    let url = boot
        .lines()
        .find_map(|line| line.trim().strip_prefix("EDGE_DL_URL='"))
        .unwrap()
        .trim_end_matches('\'');
    let file = scene.stage.file("downloaded");
    curl(&scene.stage.root, &["--noproxy", "*", "-o", file.to_str().unwrap(), url]);
    assert_eq!(fs::read(&file).unwrap(), fs::read(scene.stage.file("irp-arm64")).unwrap());

    let edge = scene.boot(&machine);
    let certificate = up.event("certificate");
    assert!(certificate["issuer"].as_str().unwrap().starts_with("Pebble"), "{certificate}");
    // Pebble's are good for five years.
    assert!(certificate["days_left"].as_u64().unwrap() > 1800, "{certificate}");
    let url = up.event("url")["url"].as_str().unwrap().to_owned();
    assert_eq!(url, format!("https://{NAME}:{}", scene.stage.port));
    assert_eq!(scene.stage.record("A").await.unwrap(), [machine["address"].as_str().unwrap()]);
    scene.visit(&edge);
    up.interrupt();
    assert_eq!(up.end().code(), Some(0));

    let mut again = scene.up(&[]);
    let found = again.event("machine");
    assert_eq!((&found["id"], &found["launched"]), (&machine["id"], &false.into()));
    again.event("url");
    scene.visit(&edge);
    // Killed, and once more.
    again.kill();
    let mut again = scene.up(&[]);
    assert_eq!(again.event("machine")["id"], machine["id"]);
    again.event("url");
    again.interrupt();
    assert_eq!(again.end().code(), Some(0));
    assert_eq!(scene.stage.pebble.orders(), 1);
    edge.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_is_taken_away_under_a_tunnel_is_replaced() {
    let mut scene = Scene::set().await;
    let detour = Detour::start(scene.stage.moto.address()).await.unwrap();
    let (user, spot) = ("Client.UserInitiatedShutdown", "Server.SpotInstanceTermination");
    detour.words("Action=DescribeInstances", user, spot);
    scene.aws = detour.url();
    let mut up = scene.up(&["--spot"]);
    let machine = up.event("machine");
    let edge = scene.boot(&machine);
    up.event("url");
    scene.visit(&edge);

    let id = machine["id"].as_str().unwrap();
    scene.stage.moto.cli(&["ec2", "terminate-instances", "--instance-ids", id]).unwrap();
    drop(edge);
    let why = up.event("relaunch")["why"].as_str().unwrap().to_owned();
    assert!(why.contains("Server.SpotInstanceTermination"), "{why}");
    let next = up.event("machine");
    assert_ne!(next["id"], machine["id"]);
    let edge = scene.boot(&next);
    up.event("url");
    scene.visit(&edge);
    assert_eq!(scene.stage.pebble.orders(), 1, "the certificate came out of the cache");
    up.interrupt();
    assert_eq!(up.end().code(), Some(0));
    edge.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_the_edge_does_not_know_is_pushed_by_whoever_may() {
    let mut scene = Scene::set().await;
    let detour = Detour::start(scene.stage.moto.address()).await.unwrap();
    scene.aws = detour.url();
    let mut up = scene.up(&[]);
    let machine = up.event("machine");
    fs::write(scene.stage.file("host.pub"), "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHost root@ip-10-0-0-7\n")
        .unwrap();
    // An edge that somebody else has launched.
    scene.stage.tables = format!(
        "[sshd]\nnames = [{NAME:?}]\nupstream_port = {}\nsockets = {:?}\nhost_keys = [{:?}]\n",
        free_port(),
        scene.stage.home.path(),
        scene.stage.file("host.pub"),
    );
    scene.stage.imds.set("public-ipv4", machine["address"].as_str().unwrap());
    let edge = scene.stage.boot(1.0);
    let told = up.event("enrolled");
    assert_eq!(told["machine"], machine["id"]);
    let mut asked = Vec::new();
    eventually_blocking("the key is sent", || {
        asked = detour.asked("SendSSHPublicKey");
        !asked.is_empty()
    });
    let asked: Value = serde_json::from_str(&asked[0][asked[0].find('{').unwrap()..]).unwrap();
    assert_eq!((&asked["InstanceOSUser"], &asked["InstanceId"]), (&"irp".into(), &machine["id"]));
    assert!(scene.stage.key.contains(asked["SSHPublicKey"].as_str().unwrap()), "{asked}");

    // AWS takes a moment to show it to the machine.
    let until =
        std::time::SystemTime::now().duration_since(std::time::SystemTime::UNIX_EPOCH).unwrap().as_secs()
            + 60;
    scene.stage.push_key(asked["SSHPublicKey"].as_str().unwrap(), until);
    up.event("url");
    scene.visit(&edge);
    up.interrupt();
    assert_eq!(up.end().code(), Some(0));

    // Another PC connects to the machine that runs.
    let made = scene.run(&["--json", "keygen", "--output", "other", "--comment", ""]);
    let made: Value = serde_json::from_slice(&made.stdout).unwrap();
    let (upstream, at) = (scene.origin.port().to_string(), format!("127.0.0.1:{}", scene.stage.port));
    let way = ["--via", "tls", "--connect-to", &at, "--cacert", &scene.stage.root];
    let key = ["--key", "other", "--no-agent"];
    let arguments = [&["--json", "connect", "alice", &upstream], &way[..], &key].concat();
    let mut client = Running::start(scene.command(&arguments), scene.stage.file("connect.log"));
    let told = client.event("enrolled");
    assert_eq!((&told["machine"], &told["key"]), (&machine["id"], &made["public"]));
    assert_eq!(detour.asked("SendSSHPublicKey").len(), 2);
    scene.stage.push_key(made["public"].as_str().unwrap(), until);
    client.event("connected");
    scene.visit(&edge);
    client.interrupt();
    assert_eq!(client.end().code(), Some(0));
    edge.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn detached_it_prints_the_url_alone_and_stays_until_it_is_disconnected() {
    let mut scene = Scene::set().await;
    let mut up = scene.up(&[]);
    let machine = up.event("machine");
    up.kill();
    let edge = scene.boot(&machine);
    let url = format!("https://{NAME}:{}\n", scene.stage.port);
    let arguments = scene.arguments(&["--detach"]);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    for _ in 0..2 {
        // The second finds the first.
        let output = scene.run(&arguments);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{said}");
        assert_eq!(String::from_utf8(output.stdout).unwrap(), url, "{said}");
        assert!(
            said.contains("in the background") && said.contains(&format!("irp disconnect {NAME}")),
            "{said}"
        );
    }
    scene.visit(&edge);
    let output = scene.run(&["disconnect", "alice"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let output = scene.run(&["disconnect", "alice"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("no client is in the background for alice"));
    assert_ne!(edge.status(&scene.stage.root, NAME), Some(200));
    edge.stop();
}

/// In the background, with the program that it starts.
#[tokio::test(flavor = "multi_thread")]
async fn detached_it_starts_a_program_that_ends_when_it_is_disconnected() {
    let mut scene = Scene::set().await;
    let mut up = scene.up(&[]);
    let machine = up.event("machine");
    up.kill();
    let edge = scene.boot(&machine);
    let port = free_port();
    fs::write(scene.stage.file("page"), "from the program\n").unwrap();
    let script = format!(
        "printf %s \"$PUBLIC_URL\" >told; exec {} -m http.server --bind 127.0.0.1 {port}",
        find("python3", "python3").unwrap().display()
    );
    let arguments = scene.arguments_for(port, &["--detach", "--", "sh", "-c", &script]);
    let output = scene.run(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    let url = format!("https://{NAME}:{}", scene.stage.port);
    assert_eq!(String::from_utf8(output.stdout).unwrap(), format!("{url}\n"), "{said}");
    // Where machines are, the port is 443.
    assert_eq!(fs::read_to_string(scene.stage.file("told")).unwrap(), format!("https://{NAME}"));
    let answer = edge.visit(&scene.stage.root, NAME).unwrap();
    assert_eq!((answer.status, answer.body.as_str()), (200, "from the program\n"));

    let output = scene.run(&["disconnect", "alice"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    eventually_blocking("the program ends", || std::net::TcpStream::connect(("127.0.0.1", port)).is_err());
    edge.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_inbox_the_provider_hears_that_nobody_was_there() {
    const SECRET: &str = "8f742231b10e8888abcd99yyyzzz85a5";
    let mut scene = Scene::set().await;
    let mut edge = None;
    for (more, status) in [(&["--no-inbox"][..], 502), (&[], 200)] {
        // Nobody listens there.
        let arguments =
            scene.arguments_for(free_port(), &[&["--verify", "slack", "--memory-only"], more].concat());
        let arguments: Vec<&str> =
            ["--json"].into_iter().chain(arguments.iter().map(String::as_str)).collect();
        let mut command = scene.command(&arguments);
        command.env("SLACK_SIGNING_SECRET", SECRET);
        let mut up = Running::start(command, scene.stage.file("up.log"));
        let machine = up.event("machine");
        let edge = edge.get_or_insert_with(|| scene.boot(&machine));
        up.event("url");
        let headers = signed(SECRET, r#"{"type":"event_callback","event_id":"Ev1"}"#);
        let headers = headers.each_ref().map(String::as_str);
        assert_eq!(ask(edge, &scene.stage.root, "/slack/events", &headers).0, status, "{more:?}");
        up.interrupt();
        assert_eq!(up.end().code(), Some(0));
    }
    edge.unwrap().stop();
}

/// The machine has no credentials at all: this PC sets its record, and takes it away.
#[tokio::test(flavor = "multi_thread")]
async fn without_a_role_the_name_is_set_from_here_and_goes_with_the_machine() {
    let mut scene = Scene::set().await;
    let port = scene.stage.port;
    scene.stage.imds.remove("iam");
    // moto's machine is not where the edge is: the authority is told of the edge's address.
    let dns = Responder::start().await.unwrap();
    dns.add_address(NAME, std::net::Ipv4Addr::LOCALHOST.into());
    let options =
        PebbleOptions { dns: Some(dns.address()), tls_port: Some(port), ..PebbleOptions::default() };
    let folder = scene.stage.file("authority");
    fs::create_dir(&folder).unwrap();
    let pebble = Pebble::start(&folder, &options).unwrap();
    scene.stage.root = issuing_root(&pebble, &folder);

    let mut up = scene.up(&["--no-role"]);
    let warning = up.event("warning")["message"].as_str().unwrap().to_owned();
    assert!(warning.contains("without a role") && warning.contains("five a week"), "{warning}");
    let machine = up.event("machine");
    let record = up.event("record");
    assert_eq!((&record["state"], &record["value"]), (&"set".into(), &machine["address"]));
    assert_eq!(scene.stage.record("A").await.unwrap(), [machine["address"].as_str().unwrap()]);
    let id = machine["id"].as_str().unwrap().to_owned();
    let shown = scene.stage.moto.cli(&["ec2", "describe-instances", "--instance-ids", &id]).unwrap();
    let shown = &shown["Reservations"][0]["Instances"][0];
    assert_eq!(shown["IamInstanceProfile"], Value::Null);

    // The edge runs with the machine's own configuration, but for where things are.
    let mut config: toml::Table = scene.file_of(&id, "/etc/irp/edge.toml").parse().unwrap();
    let text = |text: String| toml::Value::String(text);
    let path = |name: &str| text(scene.stage.file(name).display().to_string());
    fs::write(scene.stage.file("host.pub"), "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHost root@ip\n").unwrap();
    let mut set = |table: &str, key: &str, value: toml::Value| {
        config[table].as_table_mut().unwrap().insert(key.to_owned(), value);
    };
    set("acme", "directory", text(pebble.directory_url.clone()));
    set("acme", "roots", path("authority/pebble-root.pem"));
    set("aws", "metadata", text(scene.stage.imds.url()));
    set("aws", "machine_ends", path("machine-ends"));
    set("idle", "renew", path("renewed"));
    set("idle", "on_end", toml::Table::from_iter([("file".to_owned(), path("power-off"))]).into());
    set("sshd", "upstream_port", i64::from(free_port()).into());
    set("sshd", "sockets", path("."));
    set("sshd", "host_keys", vec![path("host.pub")].into());
    config["acme"].as_table_mut().unwrap().remove("staging");
    config.remove("listen");
    config.remove("state_dir");
    let edge = Edge::start_at(scene.stage.home.path(), port, &config.to_string(), |_| {});
    let issuer = up.event("certificate")["issuer"].as_str().unwrap().to_owned();
    assert!(issuer.starts_with("Pebble"), "{issuer}");
    up.event("url");
    scene.visit(&edge);
    assert_eq!(pebble.orders(), 1, "{}", pebble.log());
    let log = scene.stage.log();
    assert!(!log.contains("\"ERROR\"") && !log.contains("ERROR "), "{log}");

    // Somebody ends it: the record goes with it, though nobody on the machine could do that.
    scene.stage.moto.cli(&["ec2", "terminate-instances", "--instance-ids", &id]).unwrap();
    drop(edge);
    let gone = up.event("record");
    assert_eq!((&gone["state"], &gone["value"]), (&"removed".into(), &machine["address"]));
    assert_eq!(scene.stage.record("A").await, None);
    assert_eq!(up.end().code(), Some(5));
}
