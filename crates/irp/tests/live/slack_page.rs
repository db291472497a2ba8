//! The bots of `docs/slack.md`, as they stand there, behind the commands that stand there.

use std::{
    fs,
    net::{Ipv4Addr, TcpStream},
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::program::{Running, WITHIN, free_port, irp};

const PAGE: &str = include_str!("../../../../docs/slack.md");

const SECRET: &str = "made-up-for-now";

/// The first block of this language.
fn block(language: &str) -> String {
    let (_, behind) = PAGE.split_once(&format!("```{language}\n")).unwrap();
    behind.split_once("```").unwrap().0.to_owned()
}

/// The words of a command of irp on the page, behind `irp`.
fn command(beginning: &str) -> Vec<String> {
    let line = PAGE.lines().find(|line| line.starts_with(beginning)).unwrap();
    line.split_whitespace().skip(1).map(str::to_owned).collect()
}

/// Waits for the bot, and asks it for `/hello` by way of an edge on this machine.
fn greets(mut bot: Command, home: &Path) {
    let port = free_port();
    bot.env("SLACK_SIGNING_SECRET", SECRET).env("PORT", port.to_string()).current_dir(home);
    let bot = Running::start(bot, home.join("bot.log"));
    let deadline = Instant::now() + WITHIN;
    while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
        assert!(Instant::now() < deadline, "the bot does not listen: {}", bot.log());
        std::thread::sleep(Duration::from_millis(20));
    }

    let mut words = command("irp up --local 3000 --verify slack");
    let upstream = words.iter().position(|word| word == "3000").unwrap();
    words[upstream] = port.to_string();
    let edge_port = free_port().to_string();
    let words: Vec<&str> = words.iter().map(String::as_str).chain(["--json", "--port", &edge_port]).collect();
    let mut up = irp(home, &words);
    up.env("SLACK_SIGNING_SECRET", SECRET);
    let mut up = Running::start(up, home.join("up.log"));
    up.event("connected");

    let sign = command("irp sign slack");
    let sign = |event: &str| {
        let words = sign.iter().map(|word| match word.as_str() {
            "url_verification" => event.to_owned(),
            other => other.replace("8443", &edge_port),
        });
        let words: Vec<String> = words.collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let output = irp(home, &words).env("SLACK_SIGNING_SECRET", SECRET).output().unwrap();
        assert!(output.status.success(), "{}{}", String::from_utf8_lossy(&output.stderr), bot.log());
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(!sign("url_verification").is_empty());
    let said = sign("/hello");
    assert!(said.contains("Hello <@U"), "{said}");
    up.interrupt();
    assert_eq!(up.end().code(), Some(0));
}

#[test]
fn the_bot_in_javascript() {
    let home = TempDir::new().unwrap();
    let code = block("js");
    // There is no Slack here that would say whose token it is.
    let token = "token: process.env.SLACK_BOT_TOKEN,";
    assert!(code.contains(token), "{code}");
    let code =
        code.replace(token, "authorize: async () => ({ botToken: 'none', botId: 'B0', botUserId: 'U0' }),");
    let path = home.path().join("app.js");
    fs::write(&path, code).unwrap();
    greets(irp_testkit::node::script(&path).unwrap(), home.path());
}

#[test]
fn the_bot_in_python() {
    let home = TempDir::new().unwrap();
    let code = block("python");
    let token = "token=os.environ[\"SLACK_BOT_TOKEN\"],";
    assert!(code.contains(token), "{code}");
    let code = code.replace(
        token,
        "authorize=lambda **_: AuthorizeResult(enterprise_id=None, team_id='T0', bot_token='xoxb-0', bot_id='B0', \
         bot_user_id='U0'),",
    );
    let code = format!("from slack_bolt.authorization import AuthorizeResult\n{code}");
    let path = home.path().join("app.py");
    fs::write(&path, code).unwrap();
    greets(irp_testkit::python::script(&path).unwrap(), home.path());
}
