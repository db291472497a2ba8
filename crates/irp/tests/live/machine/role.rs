//! What the machine's role brings its edge: keys that IAM let somebody push, and signing secrets.

use std::{
    fs,
    process::Command,
    time::{Duration, Instant, SystemTime},
};

use aws_lc_rs::hmac;
use irp_testkit::{origin::Origin, process::find};

use super::stage::{NAME, Stage};
use crate::{
    edge::Edge,
    program::{Running, WITHIN, curl, free_port, irp},
};

const SECRET: &str = "8f742231b10e8888abcd99yyyzzz85a5";

/// What `curl` is to send so that Slack could have sent it now.
pub(super) fn signed(secret: &str, body: &str) -> [String; 8] {
    let at = now().to_string();
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let tag = hmac::sign(&key, format!("v0:{at}:{body}").as_bytes());
    let tag: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    [
        "-d".into(),
        body.into(),
        "-H".into(),
        "content-type: application/json".into(),
        "-H".into(),
        format!("x-slack-request-timestamp: {at}"),
        "-H".into(),
        format!("x-slack-signature: v0={tag}"),
    ]
}

fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()
}

/// What a visitor gets from a path of the name: the status, and the body.
pub(super) fn ask(edge: &Edge, root: &str, path: &str, more: &[&str]) -> (u16, String) {
    let host = edge.host(NAME);
    let (resolve, url) = (format!("{host}:127.0.0.1"), format!("https://{host}{path}"));
    let arguments = [&["--noproxy", "*", "--resolve", &resolve, "-w", "\n%{http_code}", &url], more].concat();
    let text = curl(root, &arguments);
    let (body, status) = text.rsplit_once('\n').unwrap();
    (status.parse().unwrap(), body.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_push_a_key_to_the_machine_may_connect() {
    let mut stage = Stage::set().await;
    let origin = Origin::start();
    fs::write(stage.file("host.pub"), "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHost root@ip-10-0-0-7\n")
        .unwrap();
    stage.tables = format!(
        "[sshd]\nnames = [{NAME:?}]\nupstream_port = {}\nsockets = {:?}\nhost_keys = [{:?}]\n",
        free_port(),
        stage.home.path(),
        stage.file("host.pub"),
    );
    let edge = stage.boot(1.0);
    stage.serves(&edge, &stage.root).await;
    let shown = ask(&edge, &stage.root, "/.well-known/irp/host-key", &[]);
    assert_eq!(shown, (200, "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHost\n".to_owned()));

    // A key that nobody knows; then the same, but its time is over.
    let refused = || stage.connect(edge.address, origin.port(), &stage.root).end();
    assert_eq!(refused().code(), Some(6), "{}", fs::read_to_string(stage.file("client.log")).unwrap());
    stage.push_key(&stage.key, now() - 1);
    assert_eq!(refused().code(), Some(6));

    stage.push_key(&stage.key, now() + 60);
    let mut client = stage.connect(edge.address, origin.port(), &stage.root);
    client.event("connected");
    assert_eq!(ask(&edge, &stage.root, "/page", &[]).0, 200);
    client.interrupt();
    assert_eq!(client.end().code(), Some(0));

    // Sixty seconds later it is no longer in the metadata; the edge knows it all the same, but not for other names.
    stage.imds.remove("managed-ssh-keys");
    edge.running.hang_up();
    let mut client = stage.connect(edge.address, origin.port(), &stage.root);
    client.event("connected");
    client.interrupt();
    client.end();
    let other = format!("bob.irp.test:{}", edge.address.port());
    let (address, upstream) = (edge.address.to_string(), origin.port().to_string());
    let arguments =
        ["--json", "connect", &other, &upstream, "--connect-to", &address, "--cacert", &stage.root];
    let client = Running::start(irp(stage.home.path(), &arguments), stage.file("other.log"));
    assert_ne!(client.end().code(), Some(0));
    edge.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_role_reads_the_signing_secret_and_without_it_the_path_is_closed() {
    let mut stage = Stage::set().await;
    stage.tables.push_str("[aws.secrets]\nslack = \"ssm:/irp/secret/alice/slack\"\n");
    let edge = stage.boot(1.0);
    stage.serves(&edge, &stage.root).await;
    let post = |edge: &Edge, secret: &str| {
        let headers = signed(secret, r#"{"type":"url_verification","challenge":"abc"}"#);
        ask(edge, &stage.root, "/slack/events", &headers.each_ref().map(String::as_str))
    };
    // The parameter is not there yet: nothing passes, and whoever connects hears why.
    assert_eq!(post(&edge, SECRET).0, 401);
    let mut client = stage.connect(edge.address, 3000, &stage.root);
    let notice = client.event("notice")["text"].as_str().unwrap().to_owned();
    assert!(notice.contains("ssm:/irp/secret/alice/slack cannot be read"), "{notice}");
    // Once it is there, the edge finds it: by itself within a minute, or when it is told to look.
    let put = ["ssm", "put-parameter", "--type", "SecureString", "--name", "/irp/secret/alice/slack"];
    let store = |secret| stage.moto.cli(&[&put[..], &["--overwrite", "--value", secret]].concat()).unwrap();
    let becomes = |secret: &str| {
        let deadline = Instant::now() + WITHIN;
        while post(&edge, secret).0 != 200 {
            assert!(Instant::now() < deadline, "{}", stage.log());
            std::thread::sleep(Duration::from_millis(100));
        }
    };
    store("the first one");
    edge.running.hang_up();
    becomes("the first one");
    let notice = client.event("notice")["text"].as_str().unwrap().to_owned();
    assert!(notice.contains("ssm:/irp/secret/alice/slack is there now"), "{notice}");
    store(SECRET);
    edge.running.hang_up();
    becomes(SECRET);
    assert_eq!(post(&edge, "the first one").0, 401);
    client.interrupt();
    client.end();
    edge.stop();

    let edge = stage.boot(1.0);
    stage.serves(&edge, &stage.root).await;
    assert_eq!(post(&edge, "guessed").0, 401);
    let (status, body) = post(&edge, SECRET);
    assert!(status == 200 && body.contains("abc"), "{status} {body}");
    let everything = [fs::read_to_string(stage.file("edge.toml")).unwrap(), stage.log()].concat();
    assert!(!everything.contains(SECRET), "the secret is in the clear");
    let grep = Command::new(find("grep", "grep").unwrap())
        .args(["-rl", SECRET])
        .arg(stage.file("edge"))
        .output()
        .unwrap();
    assert!(grep.stdout.is_empty(), "the secret is on the disk");
    edge.stop();

    // Secrets Manager has another one.
    let put = [
        "secretsmanager",
        "create-secret",
        "--name",
        "irp/secret/alice/slack",
        "--secret-string",
        "of the manager",
    ];
    stage.moto.cli(&put).unwrap();
    stage.tables =
        stage.tables.replace("ssm:/irp/secret/alice/slack", "secretsmanager:irp/secret/alice/slack");
    // And GitHub, whose secret is not there yet.
    stage.tables += "github = { secret = \"ssm:/irp/secret/alice/github\", path = \"/hooks/github\" }\n";
    let edge = stage.boot(1.0);
    stage.serves(&edge, &stage.root).await;
    assert_eq!(post(&edge, SECRET).0, 401);
    assert_eq!(post(&edge, "of the manager").0, 200, "{}", stage.log());
    let from_github = |secret: &str| {
        let body = r#"{"zen":"Design for failure."}"#;
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        let tag: String =
            hmac::sign(&key, body.as_bytes()).as_ref().iter().map(|it| format!("{it:02x}")).collect();
        let header = format!("x-hub-signature-256: sha256={tag}");
        let more =
            ["-d", body, "-H", "content-type: application/json", "-H", &header, "-H", "x-github-event: ping"];
        ask(&edge, &stage.root, "/hooks/github", &more).0
    };
    assert_eq!(from_github("octocat"), 401, "{}", stage.log());
    let put = ["ssm", "put-parameter", "--type", "SecureString", "--name", "/irp/secret/alice/github"];
    stage.moto.cli(&[&put[..], &["--value", "octocat"]].concat()).unwrap();
    edge.running.hang_up();
    let deadline = Instant::now() + WITHIN;
    // Nobody is connected, so that the ping is kept and acknowledged.
    while from_github("octocat") != 200 {
        assert!(Instant::now() < deadline, "{}", stage.log());
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(from_github("guessed"), 401);
    edge.stop();
}
