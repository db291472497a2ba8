//! What AWS answers on its bad days, which moto never does: an edge that is throttled, refused, told late, or told nothing
//! goes on serving, says so, and comes through once it can.

use std::{
    fs,
    time::{Duration, Instant},
};

use irp_testkit::{
    detour::{Detour, Fate},
    dns::kind,
    scripted::Reply,
};
use serde_json::{Value, json};

use super::stage::{ADDRESS, NAME, Stage};
use crate::{edge::Edge, program::irp};

/// What a change of the name's A record has in it.
pub(super) const RECORD: &str = "<Name>alice.irp.test.</Name><Type>A</Type>";

/// GetChange: whether all name servers know of a change.
pub(super) const CHANGE: &str = "/2013-04-01/change/";

/// Where the record points next.
pub(super) const OTHER_ADDRESS: &str = "203.0.113.8";

/// systemd gives a service so long to start, and begins anew.
const STARTS_WITHIN: Duration = Duration::from_secs(90);

/// How long anything may take.
const WITHIN: Duration = Duration::from_secs(150);

/// An account whose edge reaches AWS by a detour.
pub(super) async fn detoured() -> (Stage, Detour) {
    let mut stage = Stage::set().await;
    let detour = Detour::start(stage.moto.address()).await.unwrap();
    stage.endpoint = detour.url();
    (stage, detour)
}

/// A refusal of Route 53.
pub(super) fn refusal(status: u16, code: &str, message: &str) -> Reply {
    let body = format!(
        "<?xml version=\"1.0\"?>\n<ErrorResponse xmlns=\"https://route53.amazonaws.com/doc/2013-04-01/\"><Error>\
         <Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error>\
         <RequestId>b25f48e8-84fd-11e6-80d9-574e0c4664cb</RequestId></ErrorResponse>"
    );
    Reply::new(status, body).with("content-type", "text/xml")
}

/// A list of zones: id, name, and whether it is private.
pub(super) fn zones(zones: &[(&str, &str, bool)]) -> Reply {
    let zones: String = zones
        .iter()
        .map(|(id, name, private)| {
            format!(
                "<HostedZone><Id>/hostedzone/{id}</Id><Name>{name}.</Name><CallerReference>c</CallerReference>\
                 <Config><PrivateZone>{private}</PrivateZone></Config></HostedZone>"
            )
        })
        .collect();
    Reply::xml(format!(
        "<ListHostedZonesByNameResponse xmlns=\"https://route53.amazonaws.com/doc/2013-04-01/\"><HostedZones>{zones}\
         </HostedZones><IsTruncated>true</IsTruncated><NextDNSName>zzz.test.</NextDNSName><MaxItems>100</MaxItems>\
         </ListHostedZonesByNameResponse>"
    ))
}

async fn until(what: &str, stage: &Stage, holds: impl Fn() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    assert!(tokio::time::timeout(WITHIN, waiting).await.is_ok(), "in vain: {what}\n{}", stage.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn throttled_and_told_late_an_edge_comes_up_and_orders_one_certificate() {
    let (stage, detour) = detoured().await;
    let own = stage.zone.id.as_str();
    let listed = [("ZINSIDE", "irp.test", true), (own, "irp.test", false), ("ZNEXT", "irp.testing", false)];
    detour.always("hostedzonesbyname", zones(&listed));
    let throttled = || Reply::json(400, r#"{"__type":"ThrottlingException","message":"Rate exceeded"}"#);
    for _ in 0..2 {
        detour.instead(RECORD, refusal(400, "Throttling", "Rate exceeded"));
        detour.instead("PutParameter", throttled());
    }
    detour.instead("GetParametersByPath", throttled());
    detour.instead(RECORD, refusal(400, "PriorRequestNotComplete", "The request was rejected"));
    // Another edge has changed the proofs between our look and our deletion.
    detour.instead("<Action>DELETE", refusal(400, "InvalidChangeBatch", "the values provided do not match"));
    detour.late("GetParametersByPath", Duration::from_secs(3));
    detour.instead(CHANGE, refusal(404, "NoSuchChange", "Could not find resource"));
    detour.words(CHANGE, "INSYNC", "PENDING");

    let edge = stage.boot(1.0);
    stage.record_becomes("A", Some(ADDRESS)).await;
    // As long as not all name servers know, the authority is not asked to look; but another address is followed.
    let asked = detour.asked(CHANGE).len();
    until("name servers are asked for", &stage, || detour.asked(CHANGE).len() > asked + 2).await;
    stage.imds.set("public-ipv4", OTHER_ADDRESS);
    stage.record_becomes("A", Some(OTHER_ADDRESS)).await;
    let challenge = (format!("_acme-challenge.{NAME}"), kind::TXT);
    assert!(!stage.dns.asked().contains(&challenge), "{}", stage.pebble.log());
    detour.straight(CHANGE);
    stage.serves(&edge, &stage.root).await;
    until("the proof is taken down", &stage, || detour.asked("<Action>DELETE").len() > 1).await;
    edge.stop();
    assert_eq!(stage.zone.values(&challenge.0, "TXT").await.unwrap(), None);

    // What was written while it was shown late is whole: the order is done with, and the next machine makes none.
    let ask = ["ssm", "get-parameters-by-path", "--path", "/irp/cert", "--recursive", "--with-decryption"];
    let kept = stage.moto.cli(&ask).unwrap();
    let last = |blob: &str| {
        let parameters = kept["Parameters"].as_array().unwrap().iter();
        let heads = parameters.filter_map(|it| Some((it["Name"].as_str()?, it["Value"].as_str()?)));
        let heads = heads.filter(|(name, _)| name.contains(blob) && name.contains("/g0"));
        heads.max().unwrap_or_else(|| panic!("{kept}")).1.to_owned()
    };
    assert!(last("/order-").contains("\"deleted\""), "{}", last("/order-"));
    let edge = stage.boot(1.0);
    stage.serves(&edge, &stage.root).await;
    assert_eq!((stage.pebble.orders(), stage.pebble.certificates()), (1, 1), "{}", stage.pebble.log());
    edge.stop();
}

/// A machine of that name, as far as `irp status` looks at it.
fn launched(stage: &Stage) {
    let images = stage.moto.cli(&["ec2", "describe-images", "--owners", "amazon"]).unwrap();
    let image = images["Images"][0]["ImageId"].as_str().unwrap();
    let tags = [("irp:name", NAME), ("irp:engine", "irp"), ("irp:zone", &stage.zone.id)];
    let tags = tags.map(|(key, value)| format!("{{Key={key},Value={value}}}")).join(",");
    let tags = format!("ResourceType=instance,Tags=[{tags}]");
    let run = ["ec2", "run-instances", "--image-id", image, "--tag-specifications", &tags];
    stage.moto.cli(&run).unwrap();
}

/// What `irp status` tells of the edge's troubles.
fn troubles(stage: &Stage, edge: &Edge) -> Vec<String> {
    let at = edge.address.to_string();
    let arguments = ["--json", "status", NAME, "--connect-to", &at, "--cacert", &stage.root];
    let mut command = irp(stage.home.path(), &arguments);
    command.envs(stage.moto.environment()).env("HOSTED_ZONE_DOMAIN", "irp.test");
    let output = command.output().unwrap();
    let line = output.stdout.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let told: Value = serde_json::from_slice(line)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    let troubles = told["edge"]["troubles"].as_array().unwrap_or_else(|| panic!("{told}"));
    troubles.iter().map(|it| it.as_str().unwrap().to_owned()).collect()
}

async fn troubled(stage: &Stage, edge: &Edge, words: &[&str]) {
    until(words[0], stage, || {
        let troubles = troubles(stage, edge);
        troubles.iter().any(|trouble| words.iter().all(|word| trouble.contains(word)))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_aws_refuses_is_told_by_status_until_it_is_mended() {
    let (mut stage, detour) = detoured().await;
    launched(&stage);
    let edge = stage.boot(1.0);
    stage.serves(&edge, &stage.root).await;
    stage.record_becomes("A", Some(ADDRESS)).await;
    edge.stop();

    // The zone is gone: the API goes on with those that follow in the alphabet, none of which is meant.
    detour.always("hostedzonesbyname", zones(&[("ZNEXT", "irp.testing", false)]));
    let parameter = "/irp/secret/alice/slack";
    stage.tables.push_str(&format!("[aws.secrets]\nslack = \"ssm:{parameter}\"\n"));
    let denied = json!({
        "__type": "AccessDeniedException",
        "Message": "User: arn:aws:sts::123456789012:assumed-role/irp-edge-alice/i-1 is not authorized to perform: \
                    ssm:GetParameter because no identity-based policy allows the ssm:GetParameter action",
    });
    detour.always(parameter, Reply::json(400, denied.to_string()));
    let edge = stage.start_again(1.0);
    stage.serves(&edge, &stage.root).await;
    troubled(
        &stage,
        &edge,
        &["the record cannot be kept, retrying", "no public Route 53 zone named irp.test"],
    )
    .await;
    let secret =
        [parameter, "cannot be read, retrying (what slack sends is refused)", "ssm:GetParameter was refused"];
    troubled(&stage, &edge, &secret).await;

    // The zone is there again, and the role may not write to it.
    let message = "User: arn:aws:sts::123456789012:assumed-role/irp-edge-alice/i-1 is not authorized to perform: \
                   route53:ChangeResourceRecordSets on resource: arn:aws:route53:::hostedzone/Z1";
    detour.always(RECORD, refusal(403, "AccessDenied", message));
    stage.imds.set("public-ipv4", OTHER_ADDRESS);
    detour.straight("hostedzonesbyname");
    let refused =
        ["the record cannot be kept, retrying", "route53:ChangeResourceRecordSets was refused: AccessDenied"];
    troubled(&stage, &edge, &refused).await;
    assert_eq!(stage.record("A").await.unwrap(), [ADDRESS]);

    detour.straight(RECORD);
    detour.straight(parameter);
    let put = ["ssm", "put-parameter", "--type", "SecureString", "--name", parameter, "--value", "hush"];
    stage.moto.cli(&put).unwrap();
    stage.record_becomes("A", Some(OTHER_ADDRESS)).await;
    until("there is no trouble any more", &stage, || {
        edge.running.hang_up();
        troubles(&stage, &edge).is_empty()
    })
    .await;
    edge.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_spot_machine_is_heard_while_route_53_says_nothing() {
    let (stage, detour) = detoured().await;
    let edge = stage.boot(1.0);
    stage.serves(&edge, &stage.root).await;
    stage.record_becomes("A", Some(ADDRESS)).await;
    let mut client = stage.connect(edge.address, 3000, &stage.root);
    client.event("connected");

    detour.silence("/rrset", Fate::Lost);
    stage.imds.set("public-ipv4", OTHER_ADDRESS);
    until("the edge waits for Route 53", &stage, || !detour.unanswered().is_empty()).await;
    stage.imds.announce_spot_end("2026-11-22T20:00:00Z");
    let notice = client.event("notice")["text"].as_str().unwrap().to_owned();
    assert!(notice.contains("takes this spot machine away"), "{notice}");
    assert!(!stage.log().contains("the records cannot be kept"), "it gave up first: {}", stage.log());

    // What was under way is over before the record goes, so that nothing brings it back.
    detour.straight("/rrset");
    stage.record_becomes("A", None).await;
    client.interrupt();
    client.end();
    edge.stop();
    assert_eq!(stage.record("A").await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn aws_that_says_nothing_keeps_nobody_waiting_after_a_restart() {
    let (mut stage, detour) = detoured().await;
    stage.tables.push_str("[aws.secrets]\nslack = \"ssm:/irp/secret/alice/slack\"\n");
    let edge = stage.boot(1.0);
    stage.serves(&edge, &stage.root).await;
    stage.record_becomes("A", Some(ADDRESS)).await;
    edge.stop();

    // Connections stand, and nothing comes out of them.
    detour.silence("", Fate::Lost);
    let began = Instant::now();
    let edge = stage.start_again(1.0);
    let took = began.elapsed();
    assert!(took < STARTS_WITHIN, "systemd would have killed it after {took:?}");
    stage.serves(&edge, &stage.root).await;
    assert!(!detour.unanswered().is_empty());
    assert!(stage.log().contains("AWS has not answered within 10 s"), "{}", stage.log());

    // Nor does it keep the machine from ending.
    fs::write(stage.file("machine-ends"), "").unwrap();
    edge.stop();
    detour.straight("");
    assert_eq!(stage.record("A").await.unwrap(), [ADDRESS], "who has removed it?");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_became_somebody_elses_in_the_last_moment_stays_and_the_machine_ends() {
    let (stage, detour) = detoured().await;
    // 18 s: the record is written in the meantime.
    let edge = stage.boot(0.005);
    stage.record_becomes("A", Some(ADDRESS)).await;
    let taken = "Tried to delete resource record set [name='alice.irp.test.', type='A'] but the values provided do \
                 not match the current values";
    let deletion = format!("<Action>DELETE</Action><ResourceRecordSet>{RECORD}");
    detour.always(&deletion, refusal(400, "InvalidChangeBatch", taken));
    assert_eq!(edge.running.end().code(), Some(0));
    assert!(stage.file("power-off").exists(), "{}", stage.log());
    assert_eq!(detour.asked(&deletion).len(), 1);
    assert!(stage.log().contains("the record is not ours any more"), "{}", stage.log());
}
