//! A zone that the Internet does not ask: told before a machine is launched, since it would get no certificate.

use std::sync::Arc;

use irp_testkit::dns::Responder;
use serde_json::Value;

use crate::{
    stage::err,
    up::{Account, blocking, text},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_zone_to_which_the_internet_does_not_come_is_told_ahead() {
    let dns = Responder::start().await.unwrap();
    let account = Arc::new(blocking(Account::prepared).await);
    let warnings = async || {
        let (account, resolver) = (Arc::clone(&account), dns.address().to_string());
        let run = move || {
            let mut command = account.command_at(&account.stage.moto().url(), &["--dry-run", "--json"]);
            let output = command.env("IRP_RESOLVER", resolver).output().unwrap();
            assert!(output.status.success(), "{}", err(&output));
            let events = String::from_utf8(output.stdout).unwrap();
            let events = events.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
            let warnings = events.filter(|event| event["event"] == "warning");
            warnings.map(|event| text(&event["message"]).to_owned()).collect::<Vec<_>>()
        };
        blocking(run).await
    };
    let zone = "proxy.example.com";
    let servers = {
        let account = Arc::clone(&account);
        let asked = move || {
            let zones = account.stage.aws(&["route53", "list-hosted-zones"]);
            let id = text(&zones["HostedZones"][0]["Id"]).to_owned();
            let id = id.trim_start_matches("/hostedzone/");
            account.stage.aws(&["route53", "get-hosted-zone", "--id", id])["DelegationSet"]["NameServers"]
                .clone()
        };
        blocking(asked).await
    };
    let [told] = &warnings().await[..] else { panic!("not one warning") };
    assert!(told.starts_with("proxy.example.com is not delegated"), "{told}");
    assert!(told.contains("no certificate can be ordered; whoever runs example.com has to add NS"), "{told}");
    assert!(told.contains(text(&servers[0])), "{told}");
    dns.add_ns(zone, "ns.elsewhere.example");
    let [told] = &warnings().await[..] else { panic!("not one warning") };
    assert!(told.contains("is delegated elsewhere, to ns.elsewhere.example"), "{told}");
    dns.remove(zone);
    for server in servers.as_array().unwrap() {
        dns.add_ns(zone, text(server));
    }
    assert_eq!(warnings().await, [""; 0]);
}
