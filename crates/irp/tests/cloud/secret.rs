//! `irp secret put`: where the secret goes, and where it does not.

use std::{io::Write as _, process::Stdio};

use crate::stage::{Stage, err, out};

const SECRET: &str = "8f742231b10e8888abcd99yyyzzz85a5";

/// What the account holds, as its owner reads it.
#[track_caller]
fn kept(stage: &Stage, name: &str) -> (String, String) {
    let found = stage.aws(&["ssm", "get-parameter", "--name", name, "--with-decryption"]);
    let text = |key: &str| found["Parameter"][key].as_str().unwrap().to_owned();
    (text("Type"), text("Value"))
}

#[test]
fn a_secret_comes_from_the_environment_or_from_stdin_and_is_kept_encrypted() {
    let stage = Stage::new();
    let mut command = stage.irp(&["secret", "put", "slack"]);
    let output = command.env("SLACK_SIGNING_SECRET", SECRET).output().unwrap();
    assert!(output.status.success(), "{}", err(&output));
    let said = err(&output) + &out(&output);
    assert!(
        !said.contains(SECRET) && said.contains("SLACK_SIGNING_SECRET=ssm:/irp/secret/alice/slack"),
        "{said}"
    );
    assert_eq!(kept(&stage, "/irp/secret/alice/slack"), ("SecureString".into(), SECRET.into()));

    let mut command = stage.irp(&["--json", "secret", "put", "github", "--host-name", "bob"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(format!("{SECRET}\n").as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", err(&output));
    assert!(out(&output).contains("/irp/secret/bob/github") && !out(&output).contains(SECRET));
    assert_eq!(kept(&stage, "/irp/secret/bob/github").1, SECRET);

    // Again, with another one: the new one counts.
    let mut command = stage.irp(&["secret", "put", "github", "--host-name", "bob", "--env", "NEW"]);
    assert!(command.env("NEW", "another").output().unwrap().status.success());
    assert_eq!(kept(&stage, "/irp/secret/bob/github").1, "another");
}

#[test]
fn what_is_no_secret_is_refused_before_aws_is_asked() {
    let stage = Stage::without_moto();
    let nowhere = "http://127.0.0.1:1";
    for (arguments, variable, word) in [
        (&["secret", "put", "slakc"][..], None, "did you mean slack?"),
        (&["secret", "put", "slack"], None, "there is no secret"),
        (&["secret", "put", "slack", "--env", "MISSING"], None, "MISSING is not set"),
        (&["secret", "put", "slack", "--env", "X"], Some("ssm:/irp/secret/alice/slack"), "a reference"),
    ] {
        let mut command = stage.irp_at(nowhere, arguments);
        command.stdin(Stdio::null()).envs(variable.map(|value| ("X", value)));
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{}", err(&output));
        assert!(err(&output).contains(word), "{}", err(&output));
    }
}

#[test]
fn all_that_is_kept_of_a_name_is_forgotten_and_nothing_of_others() {
    let stage = Stage::new();
    stage.write(".env", "HOSTED_ZONE_DOMAIN=proxy.example.com\n");
    let put = |name: &str| {
        stage.aws(&["ssm", "put-parameter", "--name", name, "--type", "SecureString", "--value", SECRET]);
    };
    let own = ["/irp/cert/alice.proxy.example.com/identity/g0000000001", "/irp/secret/alice/slack"];
    let others = [
        "/irp/cert/alice.proxy.example.com.evil/x",
        "/irp/cert/bob.proxy.example.com/x",
        "/irp/secret/bob/slack",
    ];
    own.iter().chain(&others).for_each(|name| put(name));
    stage.run(&["forget", "alice", "--dry-run"]);
    let kept = || {
        let found = stage.aws(&["ssm", "describe-parameters"]);
        let found = found["Parameters"].as_array().unwrap().clone();
        let mut names: Vec<_> = found.iter().map(|it| it["Name"].as_str().unwrap().to_owned()).collect();
        names.sort();
        names
    };
    assert_eq!(kept().len(), 5);
    let output = stage.irp(&["forget", "alice"]).output().unwrap();
    let text = err(&output);
    assert!(output.status.success() && text.contains("2 parameters") && !text.contains(SECRET), "{text}");
    assert_eq!(kept(), others);
}
