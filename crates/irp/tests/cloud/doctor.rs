//! `irp doctor`: broken set-ups, each explained with what mends it, and one in which nothing is wrong.

use std::{net::SocketAddr, sync::Arc};

use irp_testkit::dns::Responder;
use serde_json::{Value, json};

use crate::stage::{Stage, out};

const ENV: &str = "HOSTED_ZONE_DOMAIN=proxy.example.com\n";
const NAME: &str = "alice.proxy.example.com";

/// An account, and the name server that the doctor asks.
struct World {
    stage: Arc<Stage>,
    dns: Responder,
}

/// What it found: each check with its verdict, and the exit code.
struct Report {
    checks: Vec<Value>,
    code: Option<i32>,
}

impl World {
    async fn new() -> Self {
        let stage = tokio::task::spawn_blocking(Stage::new).await.unwrap();
        stage.write(".env", ENV);
        Self { stage: Arc::new(stage), dns: Responder::start().await.unwrap() }
    }

    /// Everything that moto has not of itself: a zone, its delegation, a way to the Internet, irp's own things.
    async fn prepare(&self) -> String {
        let zone = self.on_the_side(|stage| {
            let zone = stage.zone("proxy.example.com");
            let vpc =
                &stage.aws(&["ec2", "describe-vpcs", "--filters", "Name=is-default,Values=true"])["Vpcs"][0];
            let vpc = vpc["VpcId"].as_str().unwrap();
            let gateway = stage.aws(&["ec2", "create-internet-gateway"]);
            let gateway = gateway["InternetGateway"]["InternetGatewayId"].as_str().unwrap().to_owned();
            stage.aws(&[
                "ec2",
                "attach-internet-gateway",
                "--internet-gateway-id",
                &gateway,
                "--vpc-id",
                vpc,
            ]);
            let of_vpc = format!("Name=vpc-id,Values={vpc}");
            let tables = stage.aws(&["ec2", "describe-route-tables", "--filters", &of_vpc]);
            let table = tables["RouteTables"][0]["RouteTableId"].as_str().unwrap();
            let route = ["--destination-cidr-block", "0.0.0.0/0", "--gateway-id", &gateway];
            stage.aws(&[&["ec2", "create-route", "--route-table-id", table], &route[..]].concat());
            stage.run(&["setup"]);
            zone
        });
        let zone = zone.await;
        let id = zone.clone();
        let servers = self.on_the_side(move |stage| {
            stage.aws(&["route53", "get-hosted-zone", "--id", &id])["DelegationSet"]["NameServers"].clone()
        });
        for server in servers.await.as_array().unwrap() {
            self.dns.add_ns("proxy.example.com", server.as_str().unwrap());
        }
        self.dns.add_caa(NAME, "issue", "letsencrypt.org;validationmethods=dns-01");
        zone
    }

    async fn on_the_side<T: Send + 'static>(&self, work: impl FnOnce(&Stage) -> T + Send + 'static) -> T {
        let stage = Arc::clone(&self.stage);
        tokio::task::spawn_blocking(move || work(&stage)).await.unwrap()
    }

    async fn doctor(&self, more: &'static [&'static str]) -> Report {
        let resolver: SocketAddr = self.dns.address();
        self.on_the_side(move |stage| {
            let resolver = resolver.to_string();
            let arguments = [&["--json", "doctor", "--resolver", &resolver], more].concat();
            let output = stage.irp(&arguments).output().unwrap();
            let events = out(&output);
            let events = events.lines().map(|line| serde_json::from_str(line).unwrap());
            let checks = events.filter(|event: &Value| event["event"] == "check").collect();
            Report { checks, code: output.status.code() }
        })
        .await
    }
}

impl Report {
    /// The verdicts of one check, and all that was said.
    #[track_caller]
    fn of(&self, check: &str) -> (Value, String) {
        let found: Vec<_> = self.checks.iter().filter(|it| it["check"] == check).collect();
        assert!(!found.is_empty(), "no {check} in {:?}", self.checks);
        let worst = found.iter().find(|it| it["ok"] == false).unwrap_or(&found[0]);
        (worst["ok"].clone(), worst.to_string())
    }

    #[track_caller]
    fn is_wrong(&self, check: &str, words: &[&str]) {
        let (ok, text) = self.of(check);
        assert_eq!(ok, json!(false), "{text}");
        for word in words {
            assert!(text.contains(word), "{word}: {text}");
        }
        assert!(self.code.is_some_and(|code| code != 0));
    }

    #[track_caller]
    fn is_right(&self, check: &str) {
        let (ok, text) = self.of(check);
        assert_eq!(ok, json!(true), "{text}");
    }
}

#[tokio::test]
async fn where_nothing_is_wrong_nothing_is_told_to_be() {
    let world = World::new().await;
    world.prepare().await;
    let report = world.doctor(&[]).await;
    let wrong: Vec<_> = report.checks.iter().filter(|check| check["ok"] == false).collect();
    assert!(wrong.is_empty() && report.code == Some(0), "{wrong:?}");
    for check in [
        "setting",
        "credentials",
        "region",
        "clock",
        "zone",
        "delegation",
        "caa",
        "role",
        "policy",
        "network",
        "group",
        "image",
        "launch",
    ] {
        report.is_right(check);
    }
    let (_, setting) = report.of("setting");
    assert!(setting.contains("HOST_NAME=alice") && setting.contains("your user name"), "{setting}");
}

#[tokio::test]
async fn an_empty_account_tells_everything_that_is_missing() {
    let world = World::new().await;
    let report = world.doctor(&[]).await;
    report.is_wrong("zone", &["there is no Route 53 zone named proxy.example.com", "--create-zone"]);
    // moto's default network has no gateway: no route to the Internet.
    report.is_wrong("network", &["no way to the Internet", "0.0.0.0/0", "--subnet"]);
    assert_eq!(report.code, Some(4));
}

#[tokio::test]
async fn names_that_the_internet_does_not_find_are_explained() {
    let world = World::new().await;
    world.prepare().await;
    // The responder answers for every name that exists, and one exists when another is below it.
    world.dns.remove("proxy.example.com");
    world.dns.remove(NAME);
    let report = world.doctor(&[]).await;
    report.is_wrong(
        "delegation",
        &["proxy.example.com is not delegated", "whoever runs example.com has to add NS"],
    );
    world.dns.add_ns("proxy.example.com", "ns.elsewhere.example");
    let report = world.doctor(&[]).await;
    report.is_wrong("delegation", &["is delegated elsewhere", "ns.elsewhere.example"]);

    world.dns.add_caa("example.com", "issue", "ca.example.net");
    let report = world.doctor(&[]).await;
    report.is_wrong("caa", &["example.com forbids", "ca.example.net", "letsencrypt.org"]);
}

#[tokio::test]
async fn a_role_that_lacks_this_name_is_explained() {
    let world = World::new().await;
    world.prepare().await;
    let report = world.doctor(&["--host-name", "bob"]).await;
    report.is_wrong("role", &["there is no role irp-edge-bob", "irp setup"]);
    // The role is there, but it may do something else.
    world
        .on_the_side(|stage| {
            let policy = json!({ "Version": "2012-10-17", "Statement": [
                { "Effect": "Allow", "Action": "route53:GetChange", "Resource": "*" }] });
            stage.aws(&[
                "iam",
                "put-role-policy",
                "--role-name",
                "irp-edge-alice",
                "--policy-name",
                "irp-edge",
                "--policy-document",
                &policy.to_string(),
            ])
        })
        .await;
    world.doctor(&[]).await.is_wrong("policy", &["irp-edge-alice", "irp setup"]);
}

#[tokio::test]
async fn a_closed_port_is_explained() {
    let world = World::new().await;
    world.prepare().await;
    world
        .on_the_side(|stage| {
            let groups = stage.aws(&["ec2", "describe-security-groups", "--group-names", "irp-edge"]);
            let group = groups["SecurityGroups"][0]["GroupId"].as_str().unwrap();
            let rule = ["--group-id", group, "--protocol", "tcp", "--port", "443", "--cidr", "0.0.0.0/0"];
            stage.aws(&[&["ec2", "revoke-security-group-ingress"], &rule[..]].concat());
        })
        .await;
    world.doctor(&[]).await.is_wrong("group", &["443 is closed", "authorize-security-group-ingress"]);
}

#[tokio::test]
async fn settings_that_are_wrong_do_not_hide_the_rest() {
    let world = World::new().await;
    world.stage.write(".env", "HOSTED_ZONE_DOMAIN=https://example.com\n");
    let report = world.doctor(&[]).await;
    report.is_wrong("settings", &["has a scheme in it"]);
    report.is_right("credentials");
    assert_eq!(report.code, Some(3));
}
