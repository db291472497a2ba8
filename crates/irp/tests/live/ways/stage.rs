//! An AWS account with one machine, which is this one.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::{Arc, Mutex},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use irp_testkit::{
    openssh::{KeyPair, Sshd, user},
    scripted::{Asked, Reply, Scripted},
    session_manager::SessionManagerPlugin,
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::program::{Running, irp};

/// The machine.
pub(crate) const ID: &str = "i-0123456789abcdef0";

/// Its public name.
pub(crate) const NAME: &str = "bot.irp.localhost";

/// What a session is proved with: nothing but the plugin may ever see it.
pub(crate) const TOKEN: &str = "AAEAAZ-token-of-the-session";

/// Long ago, so that nothing of the machine can still be on its way.
pub(crate) const OLD: &str = "2026-01-01T00:00:00.000Z";

/// What AWS answers.
#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) engine: &'static str,
    pub(crate) address: Option<String>,
    pub(crate) launched: String,
    pub(crate) upstream_port: u16,
    /// Where a session comes out, whatever port was asked for.
    pub(crate) port: Option<u16>,
    /// What its console shows.
    pub(crate) console: String,
    /// Where keys that are pushed are written to: `authorized_keys` of its sshd.
    pub(crate) authorized: Option<PathBuf>,
    /// What StartSession answers first, before there are sessions.
    pub(crate) no_session: Vec<Reply>,
    /// What SendSSHPublicKey answers instead of taking a key.
    pub(crate) no_push: Option<Reply>,
}

/// A home, an account, and what AWS's programs are on this PC.
pub(crate) struct World {
    home: TempDir,
    pub(crate) plugin: SessionManagerPlugin,
    pub(crate) machine: Arc<Mutex<Machine>>,
    pub(crate) aws: Scripted,
    /// Where else programs are found, before the system's own.
    pub(crate) path: String,
}

impl World {
    pub(crate) async fn new() -> Self {
        let home = TempDir::new().unwrap();
        let plugin = SessionManagerPlugin::install(&home.path().join("aws")).unwrap();
        let machine = Arc::new(Mutex::new(Machine {
            engine: "irp",
            address: None,
            launched: OLD.into(),
            upstream_port: 3000,
            port: None,
            console: String::new(),
            authorized: None,
            no_session: Vec::new(),
            no_push: None,
        }));
        let told = Arc::clone(&machine);
        let aws = Scripted::answering(move |asked| answer(&mut told.lock().unwrap(), asked)).await.unwrap();
        let path = plugin.folder().display().to_string();
        Self { home, plugin, machine, aws, path }
    }

    pub(crate) fn home(&self) -> &Path {
        self.home.path()
    }

    /// Changes what AWS answers from now on.
    pub(crate) fn change(&self, change: impl FnOnce(&mut Machine)) {
        change(&mut self.machine.lock().unwrap());
    }

    /// `irp ARGS…` with this account and nothing else of this machine's environment.
    pub(crate) fn irp(&self, arguments: &[&str]) -> Command {
        let mut command = irp(self.home(), arguments);
        self.environment(&mut command);
        command
    }

    pub(crate) fn environment(&self, command: &mut Command) {
        let nowhere = self.home().join("no-such-file");
        command.env_clear().env("HOME", self.home()).env("USER", "alice");
        command.env("PATH", format!("{}:/usr/local/bin:/usr/bin:/bin", self.path));
        command.env("AWS_REGION", "eu-central-1").env("AWS_ENDPOINT_URL", self.aws.url());
        command.env("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE").env("AWS_SECRET_ACCESS_KEY", "secret");
        command.env("AWS_CONFIG_FILE", &nowhere).env("AWS_SHARED_CREDENTIALS_FILE", nowhere);
        command.env("AWS_EC2_METADATA_DISABLED", "true").env("NO_PROXY", "127.0.0.1");
    }

    /// Runs `irp ARGS…` to its end.
    pub(crate) async fn run(&self, arguments: &[&str]) -> Output {
        let mut command = self.irp(arguments);
        tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
    }

    /// `irp --json ARGS…` under way.
    pub(crate) fn start(&self, arguments: &[&str]) -> Running {
        let command = self.irp(&[&["--json"], arguments].concat());
        Running::start(command, self.home().join("client.log"))
    }

    /// What was asked of AWS with this operation, as JSON.
    pub(crate) fn asked(&self, operation: &str) -> Vec<Value> {
        let asked = self.aws.asked().into_iter().filter(|asked| self::operation(asked) == operation);
        asked.map(|asked| serde_json::from_str(&asked.body).unwrap()).collect()
    }

    /// An sshd of the machine, which knows no key yet, and whose host key is on the console.
    pub(crate) fn sshd(&self, extra: &str) -> Sshd {
        let folder = self.home().join("sshd");
        let nobody = KeyPair::generate(self.home(), "nobody").unwrap();
        let sshd = Sshd::start(&folder, &nobody, extra).unwrap();
        let authorized = folder.join("authorized_keys");
        fs::write(&authorized, "").unwrap();
        let console = console(sshd.host_key());
        self.change(|machine| {
            machine.console = console;
            machine.authorized = Some(authorized);
        });
        sshd
    }
}

/// What a machine with this host key writes to its console.
pub(crate) fn console(host_key: &str) -> String {
    format!(
        "[   10.1] cloud-init[700]: Cloud-init finished\r\n-----BEGIN SSH HOST KEY KEYS-----\r\n{host_key}\r\n\
         -----END SSH HOST KEY KEYS-----\r\nlogin: "
    )
}

/// A refusal as services with JSON give it.
pub(crate) fn refusal(code: &str, message: &str) -> Reply {
    Reply::json(400, json!({ "__type": code, "message": message }).to_string())
}

fn operation(asked: &Asked) -> &str {
    let target = asked.headers.get("x-amz-target").and_then(|target| target.to_str().ok());
    let operation = target.and_then(|target| target.rsplit('.').next());
    operation.or_else(|| asked.body.split('&').find_map(|pair| pair.strip_prefix("Action="))).unwrap_or("")
}

fn answer(machine: &mut Machine, asked: &Asked) -> Reply {
    let json = |value: Value| Reply::json(200, value.to_string());
    let input = || serde_json::from_str::<Value>(&asked.body).unwrap();
    match operation(asked) {
        "GetCallerIdentity" => Reply::xml(
            "<GetCallerIdentityResponse><GetCallerIdentityResult><Arn>arn:aws:iam::123456789012:user/alice</Arn>\
             <UserId>AIDA1</UserId><Account>123456789012</Account></GetCallerIdentityResult>\
             </GetCallerIdentityResponse>",
        ),
        "DescribeInstances" => instances(machine, asked.body.contains(NAME) || asked.body.contains(ID)),
        "GetConsoleOutput" => {
            let output = BASE64_STANDARD.encode(&machine.console);
            Reply::xml(format!(
                "<GetConsoleOutputResponse><instanceId>{ID}</instanceId><output>{output}</output>\
                 </GetConsoleOutputResponse>"
            ))
        }
        "StartSession" if !machine.no_session.is_empty() => machine.no_session.remove(0),
        "StartSession" => {
            let asked = input()["Parameters"]["portNumber"][0].as_str().unwrap().to_owned();
            let port = machine.port.map_or(asked, |port| port.to_string());
            json(json!({
                "SessionId": "alice-0123456789abcdef0", "TokenValue": TOKEN,
                "StreamUrl": format!("ws://127.0.0.1:{port}/v1/data-channel/alice-0123456789abcdef0"),
            }))
        }
        "TerminateSession" => json(json!({ "SessionId": "alice-0123456789abcdef0" })),
        "DescribeInstanceInformation" => json(json!({ "InstanceInformationList": [] })),
        "SendSSHPublicKey" => match &machine.no_push {
            Some(reply) => reply.clone(),
            None => {
                let mut file =
                    fs::File::options().append(true).open(machine.authorized.as_ref().unwrap()).unwrap();
                writeln!(file, "{}", input()["SSHPublicKey"].as_str().unwrap()).unwrap();
                json(json!({ "RequestId": "r-1", "Success": true }))
            }
        },
        "" if asked.path.starts_with("/2013-04-01/hostedzonesbyname") => Reply::xml(
            "<ListHostedZonesByNameResponse><HostedZones><HostedZone><Id>/hostedzone/Z1</Id><Name>irp.localhost.</Name>\
             <CallerReference>c</CallerReference><Config><PrivateZone>false</PrivateZone></Config></HostedZone>\
             </HostedZones><IsTruncated>false</IsTruncated><MaxItems>100</MaxItems></ListHostedZonesByNameResponse>",
        ),
        "" if asked.path.starts_with("/2013-04-01/hostedzone/Z1/rrset") => Reply::xml(format!(
            "<ListResourceRecordSetsResponse><ResourceRecordSets><ResourceRecordSet><Name>{NAME}.</Name><Type>A</Type>\
             <TTL>60</TTL><ResourceRecords><ResourceRecord><Value>{}</Value></ResourceRecord></ResourceRecords>\
             </ResourceRecordSet></ResourceRecordSets><IsTruncated>false</IsTruncated><MaxItems>1</MaxItems>\
             </ListResourceRecordSetsResponse>",
            machine.address.as_deref().unwrap_or_default(),
        )),
        other => Reply::new(500, format!("nobody expected {other} {}", asked.path)),
    }
}

fn instances(machine: &Machine, wanted: bool) -> Reply {
    let tag = |key: &str, value: &str| format!("<item><key>{key}</key><value>{value}</value></item>");
    let tags = [
        tag("irp:name", NAME),
        tag("irp:engine", machine.engine),
        tag("irp:user", &user().unwrap()),
        tag("irp:upstream-port", &machine.upstream_port.to_string()),
    ];
    let address = machine.address.as_ref().map(|address| format!("<ipAddress>{address}</ipAddress>"));
    let item = format!(
        "<item><instancesSet><item><instanceId>{ID}</instanceId><imageId>ami-1</imageId>\
         <instanceState><code>16</code><name>running</name></instanceState><instanceType>t4g.nano</instanceType>\
         <launchTime>{}</launchTime>{}<tagSet>{}</tagSet></item></instancesSet></item>",
        machine.launched,
        address.unwrap_or_default(),
        tags.concat(),
    );
    let items = if wanted { item } else { String::new() };
    Reply::xml(format!(
        "<DescribeInstancesResponse><reservationSet>{items}</reservationSet></DescribeInstancesResponse>"
    ))
}
