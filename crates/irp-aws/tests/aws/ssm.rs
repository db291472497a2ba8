//! Parameters as moto knows them; sessions, which it does not.

use irp_aws::{
    Kind,
    ssm::{Overwrite, PutParameter, Sort, StartSession},
};
use irp_testkit::scripted::Reply;
use secrecy::{ExposeSecret as _, SecretString};

use crate::support::{scripted, world};

#[tokio::test]
async fn parameters_are_written_once_or_again_and_never_shown() {
    let world = world().await;
    let ssm = world.aws.ssm();
    let value = SecretString::from("hush hush");
    let put = |name, overwrite| PutParameter { name, value: &value, sort: Sort::Secure(None), overwrite };
    assert_eq!(ssm.put_parameter(&put("/irp/cert/a/lease", Overwrite::No)).await.unwrap(), 1);
    let again = ssm.put_parameter(&put("/irp/cert/a/lease", Overwrite::No)).await.unwrap_err();
    assert_eq!((again.kind(), again.code()), (Kind::Exists, Some("ParameterAlreadyExists")));
    assert_eq!(ssm.put_parameter(&put("/irp/cert/a/lease", Overwrite::Yes)).await.unwrap(), 2);
    let read = ssm.parameter("/irp/cert/a/lease").await.unwrap().unwrap();
    assert_eq!((read.version, read.value.expose_secret()), (2, "hush hush"));
    assert!(read.modified > 1.0e9, "{}", read.modified);
    assert!(!format!("{read:?}{put:?}", put = put("/x", Overwrite::No)).contains("hush"));
    assert!(ssm.parameter("/irp/cert/a/none").await.unwrap().is_none());

    let names: Vec<String> = (0..23).map(|number| format!("/irp/cert/a/part-{number}")).collect();
    for name in &names {
        ssm.put_parameter(&put(name, Overwrite::No)).await.unwrap();
    }
    assert_eq!(ssm.parameters(&names).await.unwrap().len(), 23);
    assert_eq!(ssm.parameters_below("/irp/cert/a").await.unwrap().len(), 24);
    assert!(ssm.parameters_below("/irp/cert/b").await.unwrap().is_empty());

    let seen = world.moto.cli(&["ssm", "get-parameter", "--name", "/irp/cert/a/lease"]).unwrap();
    assert_eq!(seen["Parameter"]["Type"], "SecureString");
    assert_ne!(seen["Parameter"]["Value"], "hush hush");

    let mut deleted = ssm.delete_parameters(&[names.clone(), vec!["/irp/x".into()]].concat()).await.unwrap();
    deleted.sort();
    assert_eq!(deleted.len(), 23);
    assert_eq!(ssm.parameters_below("/irp/cert/a").await.unwrap().len(), 1);

    let long = SecretString::from("x".repeat(4097));
    let put = PutParameter { name: "/irp/long", value: &long, sort: Sort::Plain, overwrite: Overwrite::No };
    assert_eq!(ssm.put_parameter(&put).await.unwrap_err().kind(), Kind::Invalid);

    let image = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-arm64";
    assert!(ssm.parameter(image).await.unwrap().unwrap().value.expose_secret().starts_with("ami-"));
    assert_eq!(world.aws.sts().caller().await.unwrap().account.len(), 12);
    let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl a@b";
    world.aws.instance_connect().send_key("i-0abc12345de67890f", "irp", key).await.unwrap();
}

#[tokio::test]
async fn a_session_waits_for_the_agent_and_keeps_its_token_to_itself() {
    let away = r#"{"__type":"TargetNotConnected","message":"i-1 is not connected."}"#;
    let started = r#"{"SessionId":"alice-1","StreamUrl":"wss://x/1","TokenValue":"tok-hush"}"#;
    let online =
        r#"{"InstanceInformationList":[{"InstanceId":"i-1","PingStatus":"Online","AgentVersion":"3.3.1"}]}"#;
    let quota = r#"{"Quota":{"ServiceCode":"ec2","QuotaName":"Running On-Demand Standard","Value":5.0}}"#;
    let replies = [
        Reply::json(400, away),
        Reply::json(200, r#"{"InstanceInformationList":[]}"#),
        Reply::json(200, online),
        Reply::json(200, started),
        Reply::json(200, r#"{"SessionId":"alice-1"}"#),
        Reply::json(200, quota),
    ];
    let (aws, server) = scripted(replies).await;
    let ssm = aws.ssm();
    let session = StartSession {
        target: "i-1".into(),
        document_name: "AWS-StartSSHSession".into(),
        parameters: [("portNumber".to_owned(), vec!["443".to_owned()])].into(),
    };
    assert!(ssm.start_session(&session).await.unwrap_err().is("TargetNotConnected"));
    assert_eq!(ssm.managed_instance("i-1").await.unwrap(), None);
    assert_eq!(ssm.managed_instance("i-1").await.unwrap().unwrap().ping_status, "Online");
    let started = ssm.start_session(&session).await.unwrap();
    assert!(!format!("{started:?}").contains("hush"));
    assert!(started.to_json().expose_secret().contains("tok-hush"));
    ssm.terminate_session(&started.session_id).await.unwrap();
    assert_eq!(server.asked()[0].headers["x-amz-target"], "AmazonSSM.StartSession");
    assert_eq!(server.asked()[0].body, session.to_json());
    let quota = aws.quotas().get(irp_aws::quotas::STANDARD_VCPUS).await.unwrap();
    assert!((quota.value - 5.0).abs() < f64::EPSILON);
    assert_eq!(server.asked()[5].headers["x-amz-target"], "ServiceQuotasV20190624.GetServiceQuota");
}
