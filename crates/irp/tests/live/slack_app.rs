//! The life of a Slack app: Slack is played by a script that follows its documentation and signs with its library, the
//! bot is one of its own framework, which verifies once more by itself.

use std::{fs, path::Path};

use tempfile::TempDir;

use crate::{
    edge::{Edge, LOCAL, key_table, keygen},
    program::{Running, ca_path, irp},
};

const NAME: &str = "bot.localhost";
const SECRET: &str = "8f742231b10e8888abcd99yyyzzz85a5";
/// A message a second, for a minute.
const WHILE_AWAY: usize = 60;

fn test_file(name: &str) -> String {
    format!("{}/tests/live/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// Slack, which calls one edge.
struct Slack<'e> {
    edge: &'e Edge,
    ca: &'e str,
}

impl Slack<'_> {
    /// What Slack has to say, or why it is not content.
    fn tries(&self, secret: &str, what: &[&str]) -> Result<String, String> {
        let mut command = irp_testkit::python::script(Path::new(&test_file("slack.py"))).unwrap();
        let url = format!("https://{}/slack/events", self.edge.host(NAME));
        command.args([&self.edge.address.to_string(), self.ca, &url]).args(what);
        let output = command.env("SLACK_SIGNING_SECRET", secret).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
    }

    fn does(&self, what: &[&str]) -> String {
        self.tries(SECRET, what).unwrap_or_else(|why| panic!("{what:?}: {why}\n{}", self.edge.running.log()))
    }

    fn sends(&self, first: usize, count: usize) {
        assert_eq!(self.does(&["events", &first.to_string(), &count.to_string()]), "sent");
    }
}

#[test]
fn it_is_registered_before_there_is_a_bot_and_no_message_is_lost_while_the_laptop_is_away() {
    let home = TempDir::new().unwrap();
    fs::write(home.path().join("slack"), SECRET).unwrap();
    let key = key_table(&keygen(home.path()), &[NAME]);
    let verify = "[[host.verify]]\nprovider = \"slack\"\nsecret_file = \"slack\"\n";
    let edge = Edge::start(home.path(), &format!("{LOCAL}{key}[[host]]\nname = \"{NAME}\"\n{verify}"));
    let ca = ca_path(home.path());
    let slack = Slack { edge: &edge, ca: &ca };

    // Nobody but the edge is there.
    assert_eq!(slack.does(&["register"]), "Verified");
    let refused = slack.tries("a secret of somebody else", &["register"]).unwrap_err();
    assert!(refused.contains("challenge parameter: 401"), "{refused}");

    let mut command = irp_testkit::node::script(Path::new(&test_file("bolt.js"))).unwrap();
    command.env("SLACK_SIGNING_SECRET", SECRET);
    let mut bot = Running::start(command, home.path().join("bolt.log"));
    let upstream = bot.event("ready")["port"].to_string();
    let connect = |log: &str| {
        let (host, address) = (edge.host(NAME), edge.address.to_string());
        let arguments = ["--json", "connect", &host, &upstream, "--connect-to", &address, "--cacert", &ca];
        let mut client = Running::start(irp(home.path(), &arguments), home.path().join(log));
        client.event("connected");
        client
    };
    let client = connect("first.log");
    slack.sends(0, 3);
    assert!(slack.does(&["command"]).contains("deploying now"));
    assert_eq!(slack.does(&["button"]), "200");

    // The laptop is gone from one moment to the next.
    client.kill();
    slack.sends(3, WHILE_AWAY);
    assert!(slack.does(&["command"]).contains("offline"));
    let client = connect("second.log");
    slack.sends(3 + WHILE_AWAY, 3);

    let said = |number: usize| (format!("message {number}").into(), format!("Ev{number}").into());
    for number in 0..WHILE_AWAY + 6 {
        let mention = bot.event("app_mention");
        assert_eq!((mention["text"].clone(), mention["id"].clone()), said(number), "{}", bot.log());
    }
    client.interrupt();
    assert_eq!(client.end().code(), Some(0));
    edge.stop();
}
