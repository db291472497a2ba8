use std::time::Duration;

use irp_edge::{http, inbox, tunnels::native};

use super::*;
use crate::config::toml_file::parse;

fn made(text: &str) -> EdgeConfig {
    let file: EdgeFile = parse(text, Path::new("edge.toml")).unwrap_or_else(|it| panic!("{it:?}"));
    let made = from_file(file, &Certificates::new(), &Environment::read(), None);
    made.unwrap_or_else(|it| panic!("{it:?}"))
}

/// An edge with these lines in its `[acme]`, and whatever tables follow there.
fn with_acme(lines: &str) -> EdgeConfig {
    made(&format!("[acme]\nchallenge = 'tls-alpn-01'\nnames = ['alice.example.com']\n{lines}\n"))
}

fn directory(line: &str) -> String {
    match with_acme(line).certificates {
        CertificateSource::Acme { config, .. } => config.directory_url,
        CertificateSource::Local { .. } => panic!("[acme] was not heeded"),
    }
}

#[test]
fn one_switch_leads_to_staging() {
    let staging = "https://acme-staging-v02.api.letsencrypt.org/directory";
    assert_eq!(directory("staging = true"), staging);
    assert_eq!(directory("directory = 'letsencrypt'\nstaging = true"), staging);
    assert_eq!(directory("directory = 'letsencrypt-staging'"), staging);
    let production = "https://acme-v02.api.letsencrypt.org/directory";
    assert_eq!(directory(""), production);
    assert_eq!(directory("staging = false"), production);
    assert_eq!(directory("directory = 'https://ca.example.com/dir'"), "https://ca.example.com/dir");
}

/// Each limit of the public side but the proxies, times in milliseconds, each with what sets it in `edge.toml`. What
/// is new among the limits has to be named here, too.
fn limits(edge: &EdgeConfig) -> Vec<(&'static str, u128)> {
    let http::Limits {
        header_bytes,
        header_read,
        idle,
        stalled,
        upload_idle,
        half_closed: _,
        upgrade_idle,
        response_head,
        hold,
        held,
        in_flight,
        in_flight_per_name,
        streams,
        budget,
        stream_window,
        trusted_proxies: _,
    } = &edge.limits;
    let native::Settings { lanes_max, stream_window: session_window, drain: _ } = &edge.sessions;
    assert_eq!(u64::try_from(*stream_window), Ok(u64::from(*session_window)));
    let number = |number: &usize| u128::try_from(*number).unwrap();
    vec![
        ("header_bytes", number(header_bytes)),
        ("header_time", header_read.as_millis()),
        ("idle_time", idle.as_millis()),
        ("stall_time", stalled.as_millis()),
        ("upload_time", upload_idle.as_millis()),
        ("upgrade_time", upgrade_idle.as_millis()),
        ("upstream_time", response_head.as_millis()),
        ("hold", hold.as_millis()),
        ("hold_requests", number(held)),
        ("requests", number(in_flight)),
        ("requests_per_name", number(in_flight_per_name)),
        ("streams", u128::from(*streams)),
        ("memory", number(budget)),
        ("stream_window", number(stream_window)),
        ("lanes", u128::from(*lanes_max)),
        ("drain_time", edge.drain.as_millis()),
    ]
}

/// The keys that `docs/edge.toml` shows in a table, commented out or not.
fn documented(table: &str) -> Vec<&'static str> {
    let lines = include_str!("../../../../../docs/edge.toml").lines();
    let table = format!("[{table}]");
    let inside = lines.skip_while(|line| *line != table).skip(1).take_while(|line| !line.starts_with('['));
    let keys = inside.filter_map(|line| line.trim_start_matches("# ").split_once(" = "));
    keys.map(|(key, _)| key).filter(|key| !key.contains(' ')).collect()
}

#[test]
fn every_limit_is_what_its_key_says() {
    let default = limits(&with_acme(""));
    let keys: Vec<_> = default.iter().map(|(key, _)| *key).chain(["trusted_proxies"]).collect();
    assert_eq!(documented("limits"), keys);

    // No two values are alike, and none is a default.
    let wanted: Vec<_> = default.iter().zip(1001..).map(|((key, _), value)| (*key, value)).collect();
    for ((key, default), (_, value)) in default.iter().zip(&wanted) {
        assert_ne!(default, value, "{key}");
    }
    let lines = wanted.iter().map(|(key, value)| {
        let is_time = *key == "hold" || key.ends_with("_time");
        if is_time { format!("{key} = '{value}ms'\n") } else { format!("{key} = {value}\n") }
    });
    let lines: String = lines.chain(["trusted_proxies = ['10.0.0.0/8', '192.0.2.7']\n".to_owned()]).collect();
    let edge = with_acme(&format!("[limits]\n{lines}"));
    assert_eq!(limits(&edge), wanted);
    let proxies: Vec<_> = edge.limits.trusted_proxies.iter().map(ToString::to_string).collect();
    assert_eq!(proxies, ["10.0.0.0/8", "192.0.2.7/32"]);
}

#[test]
fn the_window_of_a_stream_has_31_bits() {
    let edge = with_acme("[limits]\nmemory = '8GiB'\nstream_window = '4GiB'");
    assert_eq!(edge.sessions.stream_window, (1 << 31) - 1);
    assert_eq!(edge.limits.stream_window, (1 << 31) - 1);
}

#[test]
fn the_inbox_is_what_its_keys_say() {
    let edge = with_acme(
        "[limits]\nupstream_time = '7s'\n[inbox]\nevents = 1001\nbytes = '3MiB'\nage = '25h'\nattempts = 5\n\
         retry = '2s'\nresign = false",
    );
    let inbox::Settings { file: _, bounds, delivery } = edge.inbox.unwrap();
    let second = Duration::from_secs(1);
    assert_eq!(
        bounds,
        inbox::Bounds { events: 1001, bytes: 3 * 1024 * 1024, age: 25 * 3600 * second, attempts: 5 }
    );
    assert_eq!(delivery, inbox::Delivery { resign: false, retry: 2 * second, answer_within: 7 * second });
    let keys = ["enabled", "events", "bytes", "age", "attempts", "retry", "resign"];
    assert_eq!(documented("inbox"), keys);

    assert!(with_acme("[inbox]\nenabled = false").inbox.is_none());
    assert_eq!(with_acme("").inbox.map(|inbox| (inbox.bounds, inbox.delivery)), Some(Default::default()));
}

#[test]
fn the_machine_stays_for_the_hours_that_are_said() {
    let hours = |line: &str| with_acme(&format!("[idle]\n{line}")).idle_after.duration();
    assert_eq!(hours("hours = 2.5"), Some(Duration::from_secs(9000)));
    assert_eq!(hours("hours = 0"), None);
    assert_eq!(hours(""), Some(Duration::from_secs(3600)));
}
