//! Events that wait, as a person sees it: a program that goes away and comes back, and a disk that is full.

use std::{fs, path::Path, process::Command};

use irp_testkit::{
    origin::{Bot, Manners},
    patience::eventually_blocking,
    process::find,
};
use tempfile::TempDir;

use crate::{
    edge::{Edge, LOCAL, key_table, keygen},
    program::{Running, ca_path, free_port, irp},
};

const SECRET: &str = "8f742231b10e8888abcd99yyyzzz85a5";

/// Sends an event by `irp sign`; whether it was acknowledged.
fn send(home: &Path, url: &str, number: usize, size: usize) -> bool {
    let event =
        format!(r#"{{"type":"event_callback","event_id":"Ev{number}","event":{{"type":"message"}}}}"#);
    let body = home.join("event.json");
    fs::write(&body, format!("{event:<size$}")).unwrap();
    let to = format!("{url}/slack/events");
    let mut command = irp(home, &["sign", "slack", "--to", &to, "--body", body.to_str().unwrap()]);
    let output = command.env("SLACK_SIGNING_SECRET", SECRET).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() || told.contains("503"), "{told}");
    output.status.success()
}

/// The numbers of the events that were answered with 2xx, in their order.
fn arrived(bot: &Bot) -> Vec<usize> {
    let taken = bot.taken();
    let well = taken.iter().filter(|taken| taken.status == 200);
    let id = |text: &str| text.split('"').find_map(|part| part.strip_prefix("Ev")?.parse().ok());
    well.map(|taken| id(taken.text()).unwrap()).collect()
}

/// `irp up --local` at a port, for a program at another.
fn up(home: &Path, port: u16, upstream: u16) -> (Running, String) {
    up_as(home, "alice", port, upstream)
}

/// The same under a name.
fn up_as(home: &Path, name: &str, port: u16, upstream: u16) -> (Running, String) {
    let (at, upstream) = (port.to_string(), upstream.to_string());
    let typed = ["--json", "up", "--local", &upstream, "--name", name, "--port", &at, "--verify", "slack"];
    let mut command = irp(home, &typed);
    command.env("SLACK_SIGNING_SECRET", SECRET);
    let mut running = Running::start(command, home.join(format!("up-{port}.log")));
    let url = running.event("url")["url"].as_str().unwrap().trim_end_matches('/').to_owned();
    (running, url)
}

#[test]
fn what_came_while_the_program_was_away_is_delivered_when_it_is_back_also_by_the_next_up_local() {
    let home = TempDir::new().unwrap();
    let (port, upstream) = (free_port(), free_port());
    let at_port = || Bot::with(([127, 0, 0, 1], upstream).into(), |_, _| Manners::default()).unwrap();
    let (mut running, url) = up(home.path(), port, upstream);

    // No program is there yet; then it comes, and goes on.
    for number in 0..2 {
        assert!(send(home.path(), &url, number, 0));
    }
    // The client tells of its attempt first, then the edge of what it did.
    while !running.event("request")["remark"]
        .as_str()
        .unwrap()
        .starts_with("slack ✓ event_callback message (kept")
    {}
    while running.event("inbox")["waiting"] != 2 {}
    let bot = at_port();
    eventually_blocking("what waited", || bot.count() == 2);
    assert!(bot.taken().iter().all(|taken| taken.value("irp-parked-at").ends_with('Z')));
    eventually_blocking("an event that passes", || {
        assert!(send(home.path(), &url, 2, 0));
        bot.count() >= 3
    });
    assert_eq!(arrived(&bot)[..3], [0, 1, 2]);

    // The program goes, an event comes, and irp goes as well: Ctrl-C ends it, whatever waits.
    drop(bot);
    assert!(send(home.path(), &url, 3, 0));
    running.interrupt();
    assert_eq!(running.end().code(), Some(0));

    let bot = at_port();
    let (running, _) = up(home.path(), port, upstream);
    eventually_blocking("what waited over the end", || bot.count() >= 1);
    assert_eq!(arrived(&bot), [3]);
    running.interrupt();
    assert_eq!(running.end().code(), Some(0));
}

#[test]
fn each_of_several_up_local_keeps_events_of_its_own() {
    let home = TempDir::new().unwrap();
    // Two names, and twice the same one.
    let ups = ["shop", "alice", "alice"].map(|name| (name, free_port(), free_port()));
    let running = ups.map(|(name, port, upstream)| up_as(home.path(), name, port, upstream));
    for (number, (_, url)) in running.iter().enumerate() {
        assert!(send(home.path(), url, number, 0), "nothing is kept at {url}");
    }
    for (number, (_, url)) in running.iter().enumerate() {
        let host = url.strip_prefix("https://").unwrap();
        let output = irp(home.path(), &["--json", "inbox", "ls", host]).output().unwrap();
        let listed = String::from_utf8(output.stdout).unwrap();
        assert_eq!(listed.lines().count(), 1, "{number} {listed}");
    }
    for (number, (_, _, upstream)) in ups.into_iter().enumerate() {
        let bot = Bot::with(([127, 0, 0, 1], upstream).into(), |_, _| Manners::default()).unwrap();
        eventually_blocking("its own event", || bot.count() >= 1);
        assert_eq!(arrived(&bot), [number]);
    }
    for (up, _) in running {
        up.interrupt();
        assert_eq!(up.end().code(), Some(0));
    }
}

/// Lets a command run where `folder` is a disk of its own with so much room, and something that takes a part of it. Only
/// the command sees that disk; it is gone with it. Needs root.
fn on_small_disk(command: &mut Command, folder: &Path, room: &str, taken: &str) {
    let script =
        "mount -t tmpfs -o size=$2 irp-test $1 && head -c $3 /dev/zero >$1/.taken && shift 3 && exec \"$@\"";
    let mut wrapped = Command::new(find("unshare", "util-linux").unwrap());
    wrapped.args(["--mount", "sh", "-c", script, "sh"]).arg(folder).args([room, taken]);
    wrapped.arg(command.get_program()).args(command.get_args()).env_clear();
    wrapped.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    // For mount and head.
    wrapped.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    wrapped.current_dir(command.get_current_dir().unwrap());
    *command = wrapped;
}

#[test]
fn a_full_disk_takes_nothing_in_loses_nothing_and_is_used_again_when_there_is_room() {
    const SIZE: usize = 60_000;
    /// Far more than fits.
    const MOST: usize = 400;
    let home = TempDir::new().unwrap();
    let (name, folder) = ("bot.localhost", home.path().join("edge"));
    fs::create_dir(&folder).unwrap();
    fs::write(home.path().join("slack"), SECRET).unwrap();
    let key = key_table(&keygen(home.path()), &[name]);
    let host = format!(
        "[[host]]\nname = \"{name}\"\n[[host.verify]]\nprovider = \"slack\"\nsecret_file = \"slack\"\n\
         [limits]\nhold = \"1ms\"\n"
    );
    let edge = Edge::start_at(home.path(), 0, &format!("{LOCAL}{key}{host}"), |command| {
        on_small_disk(command, &folder, "8m", "4m");
    });
    let url = format!("https://{}", edge.host(name));
    assert!(!folder.join(".inbox.redb").exists(), "the inbox is not on the small disk");

    let mut acknowledged = Vec::new();
    let mut numbers = 0..MOST;
    // Until it is full. What was refused is not sent again, so that it must not arrive either way twice.
    let refused = numbers.find(|number| {
        let taken = send(home.path(), &url, *number, SIZE);
        if taken {
            acknowledged.push(*number);
        }
        !taken
    });
    assert!(refused.is_some(), "{} events of {SIZE} bytes fit into 4 MiB", acknowledged.len());
    assert!(acknowledged.len() > 4, "{acknowledged:?}\n{}", edge.running.log());
    assert!(edge.running.log().contains("events are not acknowledged"), "{}", edge.running.log());
    // It stays full, however often it is tried.
    for number in numbers.by_ref().take(3) {
        assert!(!send(home.path(), &url, number, SIZE), "{number} was acknowledged on a full disk");
    }

    // There is room again: within moments events are kept, behind those from before.
    let inside = format!("/proc/{}/root{}/.taken", edge.running.id(), folder.display());
    fs::remove_file(inside).unwrap();
    eventually_blocking("an event is kept", || {
        let number = numbers.next().unwrap();
        let taken = send(home.path(), &url, number, SIZE);
        if taken {
            acknowledged.push(number);
        }
        taken
    });

    let bot = Bot::start();
    let (host, address, ca) = (edge.host(name), edge.address.to_string(), ca_path(home.path()));
    let upstream = bot.address().port().to_string();
    let arguments = ["--json", "connect", &host, &upstream, "--connect-to", &address, "--cacert", &ca];
    let mut client = Running::start(irp(home.path(), &arguments), home.path().join("client.log"));
    client.event("connected");
    eventually_blocking("all events", || bot.count() >= acknowledged.len());
    assert_eq!(arrived(&bot), acknowledged, "lost, twice, or out of order");
    drop(client);
    edge.stop();
}
