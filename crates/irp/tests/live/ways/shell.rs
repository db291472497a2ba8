//! `irp ssh`, `irp logs`, and plain ssh with what `irp config ssh` prints.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Command, Output, Stdio},
};

use irp_testkit::{
    openssh::{KeyPair, user},
    patience::eventually,
    process::find,
};

use super::stage::{ID, NAME, World, console, refusal};

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_runs_on_the_machine_with_its_input_and_its_exit_code() {
    let world = World::new().await;
    let sshd = world.sshd("");
    let port = sshd.port().to_string();
    let mut command = world.irp(&[
        "ssh",
        NAME,
        "--ssh-port",
        &port,
        "--",
        "read",
        "line;",
        "echo",
        "got",
        "$line;",
        "exit",
        "7",
    ]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let output = tokio::task::spawn_blocking(move || {
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(b"a line\n").unwrap();
        child.wait_with_output().unwrap()
    })
    .await
    .unwrap();
    assert_eq!((output.status.code(), out(&output).as_str()), (Some(7), "got a line\n"), "{}", err(&output));
    eventually("the session to end", || world.asked("TerminateSession").len() == 1).await;

    // The same at its open port.
    world.change(|machine| machine.address = Some("127.0.0.1".into()));
    let direct = ["ssh", NAME, "--ssh-port", &port, "--direct", "--", "echo", "$SSH_CONNECTION"];
    let output = world.run(&direct).await;
    assert!(output.status.success() && out(&output).starts_with("127.0.0.1 "), "{}", err(&output));
    assert_eq!(world.asked("StartSession").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shell_needs_a_host_key_that_the_machine_reported() {
    let world = World::new().await;
    let sshd = world.sshd("");
    let port = sshd.port().to_string();
    let other = KeyPair::generate(world.home(), "other").unwrap();
    world.change(|machine| machine.console = console(&other.public));
    let output = world.run(&["ssh", NAME, "--ssh-port", &port, "--", "echo", "in"]).await;
    assert_eq!((output.status.code(), out(&output).as_str()), (Some(255), ""));
    assert!(err(&output).contains("Host key verification failed"), "{}", err(&output));

    world.change(|machine| machine.console = String::new());
    let output = world.run(&["ssh", NAME, "--ssh-port", &port, "--", "echo", "in"]).await;
    assert_eq!(output.status.code(), Some(5), "{}", err(&output));
    assert!(err(&output).contains("has not reported its host keys yet"), "{}", err(&output));
}

/// Programs of a machine that tell how they were called.
fn machines_programs(folder: &Path, running: bool) {
    fs::create_dir_all(folder).unwrap();
    let programs = [
        ("sudo", "[ \"$1\" = -n ] && shift; SUDO=1 exec \"$@\"".to_owned()),
        ("systemctl", format!("[ \"$*\" = 'is-active --quiet irp-edge' ] && exit {}", i32::from(!running))),
        (
            "journalctl",
            "echo \"sudo=$SUDO journalctl $*\"; case \"$*\" in *--follow*) exec sleep 600;; esac".into(),
        ),
        ("tail", "echo \"sudo=$SUDO tail $*\"".into()),
    ];
    for (name, body) in programs {
        // Written by another process: a file that this one wrote may still be open in a child that another test
        // forked meanwhile, and the system does not run it then.
        let made = folder.join(format!("{name}.made"));
        fs::write(&made, format!("#!/bin/sh\n{body}\n")).unwrap();
        let mut install = Command::new(find("install", "coreutils").unwrap());
        install.args(["-m", "755"]).arg(made).arg(folder.join(name));
        assert!(install.status().unwrap().success());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_journal_is_shown_and_what_cloud_init_said_where_the_edge_does_not_run() {
    let world = World::new().await;
    let programs = world.home().join("programs");
    let path = format!("SetEnv PATH={}:/usr/bin:/bin", programs.display());
    let sshd = world.sshd(&path);
    let port = sshd.port().to_string();

    machines_programs(&programs, true);
    let output = world.run(&["logs", NAME, "--ssh-port", &port, "-n", "5"]).await;
    let units = "-u irp-edge -u irp-boot -u irp-machine-ends -u irp-power";
    let journal = format!("sudo=1 journalctl --no-pager --output=short-iso --lines=5 {units}\n");
    assert_eq!(
        (output.status.code(), out(&output).as_str()),
        (Some(0), journal.as_str()),
        "{}",
        err(&output)
    );

    machines_programs(&programs, false);
    let output = world.run(&["logs", NAME, "--ssh-port", &port]).await;
    let said = out(&output);
    assert!(said.starts_with("irp-edge does not run"), "{said}");
    assert!(said.contains("sudo=1 tail -n 50 /var/log/cloud-init-output.log\n"), "{said}");
    assert!(said.contains("--lines=200 -u irp-edge -u irp-boot"), "{said}");

    // Following ends with Ctrl-C, and that is no failure.
    machines_programs(&programs, true);
    let mut command = world.irp(&["logs", NAME, "-f", "--ssh-port", &port]);
    let log = world.home().join("logs.out");
    let mut child = command.stdout(fs::File::create(&log).unwrap()).spawn().unwrap();
    eventually("the journal", || {
        fs::read_to_string(&log).unwrap().contains("--follow -u irp-edge -u irp-boot")
    })
    .await;
    let kill = find("kill", "procps").unwrap();
    assert!(Command::new(kill).args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let status = tokio::task::spawn_blocking(move || child.wait().unwrap()).await.unwrap();
    assert_eq!(status.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_console_is_shown_without_a_login() {
    let world = World::new().await;
    world.change(|machine| machine.console = "irp: the download failed 30 times\n".into());
    let output = world.run(&["logs", NAME, "--console"]).await;
    assert_eq!(out(&output), "irp: the download failed 30 times\n", "{}", err(&output));
    world.change(|machine| machine.console = String::new());
    let output = world.run(&["logs", NAME, "--console"]).await;
    assert_eq!(output.status.code(), Some(4), "{}", err(&output));

    // Where a login is no way, that one is named.
    world.change(|machine| {
        machine.no_session = vec![refusal("TargetNotConnected", "i-0123456789abcdef0 is not connected.")];
        machine.console =
            console("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ8cU9WHIxFEGvIhVyFDuYtEKKyNi4BGRWXDZZ2kTmIe");
    });
    let output = world.run(&["logs", NAME]).await;
    assert!(err(&output).contains(&format!("irp logs {NAME} --console")), "{}", err(&output));
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_ssh_reaches_machines_with_the_block_that_is_printed() {
    let world = World::new().await;
    let sshd = world.sshd("");
    fs::write(world.home().join(".env"), "HOSTED_ZONE_DOMAIN=example.com\n").unwrap();
    let me = user().unwrap();
    let output = world.run(&["config", "ssh", "--os-user", &me]).await;
    assert!(output.status.success(), "{}", err(&output));
    let file = world.home().join("ssh_config");
    fs::write(&file, &output.stdout).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();

    let ssh = |arguments: &[&str]| {
        let mut command = Command::new(find("ssh", "openssh-client").unwrap());
        command.arg("-F").arg(&file).args(arguments);
        world.environment(&mut command);
        command.current_dir(world.home());
        command
    };
    let settings = |host: &str| out(&ssh(&["-G", host]).output().unwrap());
    for host in [ID, "bot.example.com"] {
        let settings = settings(host);
        assert!(settings.contains(&format!("\nuser {me}\n")), "{settings}");
        assert!(settings.contains("\nstricthostkeychecking true\n"), "{settings}");
        assert!(settings.contains("\nidentitiesonly yes\n"), "{settings}");
        let proxy = settings.lines().find(|line| line.starts_with("proxycommand ")).unwrap();
        assert!(proxy.contains("' ssh-proxy %h %p --os-user %r --push-key '"), "{proxy}");
    }
    assert!(!settings("elsewhere.example.org").contains("ssh-proxy"));

    // Twice: the second time, the machine is known already.
    for _ in 0..2 {
        let mut command = ssh(&["-p", &sshd.port().to_string(), ID, "echo in; exit 3"]);
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        assert_eq!((output.status.code(), out(&output).as_str()), (Some(3), "in\n"), "{}", err(&output));
    }
    let pushed = world.asked("SendSSHPublicKey");
    assert_eq!((pushed.len(), &pushed[0]["InstanceOSUser"]), (2, &me.into()));
    eventually("the sessions to end", || world.asked("TerminateSession").len() == 2).await;

    // Who answers must be the machine.
    let other = KeyPair::generate(world.home(), "other").unwrap();
    world.change(|machine| machine.console = console(&other.public));
    let mut command = ssh(&["-p", &sshd.port().to_string(), ID, "echo in"]);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    assert_eq!((output.status.code(), out(&output).as_str()), (Some(255), ""));
    assert!(err(&output).contains("Host key verification failed"), "{}", err(&output));
}
