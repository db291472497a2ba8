//! The metadata service, and the role that comes from it.

use irp_aws::{Aws, Imds, Options, Pace, imds::ImdsError};
use irp_testkit::{
    imds::{INSTANCE_ID, Imds as Emulated},
    moto::REGION,
    scripted::{Reply, Scripted},
};

#[tokio::test]
async fn a_machine_reads_what_is_there_and_renews_its_token() {
    let emulated = Emulated::start().await.unwrap();
    let imds = Imds::new(&emulated.url()).unwrap();
    assert_eq!(imds.instance_id().await.unwrap().as_deref(), Some(INSTANCE_ID));
    assert_eq!(imds.account_id().await.unwrap().as_deref(), Some("123456789012"));
    assert_eq!(imds.public_ipv4().await.unwrap(), None);
    assert_eq!(imds.instance_action().await.unwrap(), None);
    assert_eq!(imds.rebalance_recommendation().await.unwrap(), None);
    assert!(imds.active_keys("irp", 0).await.unwrap().is_empty());

    emulated.set("/latest/meta-data/public-ipv4", "203.0.113.7");
    emulated.set_tag("irp:host", "alice");
    emulated.announce_spot_end("2026-11-22T20:00:00Z");
    emulated.recommend_rebalance("2026-11-22T19:00:00Z");
    emulated.expire_tokens();
    assert_eq!(imds.public_ipv4().await.unwrap(), Some("203.0.113.7".parse().unwrap()));
    assert_eq!(imds.tag("irp:host").await.unwrap().as_deref(), Some("alice"));
    let action = imds.instance_action().await.unwrap().unwrap();
    assert_eq!((action.action.as_str(), action.time.as_str()), ("terminate", "2026-11-22T20:00:00Z"));
    assert_eq!(imds.rebalance_recommendation().await.unwrap().as_deref(), Some("2026-11-22T19:00:00Z"));

    emulated.set("/latest/dynamic/instance-identity/document", r#"{"accountId":"../12345678"}"#);
    assert!(matches!(imds.account_id().await, Err(ImdsError::Odd { .. })));
    emulated.remove("/latest/dynamic/instance-identity/document");
    assert_eq!(imds.account_id().await.unwrap(), None);

    emulated.break_down(true);
    assert!(imds.instance_id().await.is_err());
    emulated.break_down(false);
    assert!(imds.instance_id().await.is_ok());
}

#[tokio::test]
async fn keys_that_were_pushed_are_read_while_they_last() {
    let emulated = Emulated::start().await.unwrap();
    let imds = Imds::new(&emulated.url()).unwrap();
    let blob = "#Timestamp=2000\n#Instance=i-1\n#Caller=arn\n#Request=r\nssh-ed25519 AAAA\nc2ln\n\n";
    emulated.push_key("irp", blob);
    assert_eq!(imds.active_keys("irp", 1999).await.unwrap(), ["ssh-ed25519 AAAA"]);
    assert!(imds.active_keys("irp", 2000).await.unwrap().is_empty());
}

#[tokio::test]
async fn somebody_else_at_that_address_is_an_error() {
    let server = Scripted::start((0..9).map(|_| Reply::new(403, "no"))).await.unwrap();
    let error = Imds::new(&server.url()).unwrap().get("instance-id").await.unwrap_err();
    assert!(matches!(error, ImdsError::Status { status: 403, .. }), "{error:?}");
}

#[tokio::test]
async fn the_role_of_the_machine_signs_calls() {
    let emulated = Emulated::start().await.unwrap();
    emulated.set_role("irp-edge-alice", "ASIAROLE", "hush", "session-hush", "2099-01-01T00:00:00Z");
    let answer = "<R><GetCallerIdentityResult><Arn>a</Arn><UserId>u</UserId><Account>1</Account>\
                  </GetCallerIdentityResult></R>";
    let server = Scripted::start([Reply::xml(answer), Reply::xml(answer)]).await.unwrap();
    let options = Options {
        region: Some(REGION.into()),
        endpoint_url: Some(server.url()),
        metadata: Some(emulated.url()),
        pace: Pace::brisk(),
        ..Options::default()
    };
    let aws = Aws::load(options).await.unwrap();
    aws.sts().caller().await.unwrap();
    aws.sts().caller().await.unwrap();
    let asked = &server.asked()[0].headers;
    assert!(asked["authorization"].to_str().unwrap().contains("Credential=ASIAROLE/"));
    assert_eq!(asked["x-amz-security-token"], "session-hush");
    let roles =
        emulated.asked().into_iter().filter(|path| path.ends_with("security-credentials/irp-edge-alice"));
    assert_eq!(roles.count(), 1, "credentials are kept");
}
