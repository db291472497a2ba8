//! Why a way leads nowhere, in words, with what to type.

use serde_json::json;

use super::stage::{ID, NAME, World, refusal};
use crate::program::irp;

/// What `irp connect` says when Session Manager is no way; it must end by itself.
async fn told(world: &World, code: i32) -> String {
    assert!(irp(world.home(), &["keygen"]).output().unwrap().status.success());
    let output = world.run(&["connect", NAME, "3000", "--via", "ssm"]).await;
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(said.contains("hint: "), "{said}");
    said
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_that_is_missing_is_told_before_a_session_is_started() {
    let mut world = World::new().await;
    world.path = world.home().join("nothing").display().to_string();
    let said = told(&world, 5).await;
    assert!(said.contains("there is no session-manager-plugin on this PC"), "{said}");
    assert!(said.contains("https://docs.aws.amazon.com/systems-manager/"), "{said}");
    assert!(world.asked("StartSession").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_that_is_too_old_is_told_before_a_session_is_started() {
    let world = World::new().await;
    world.plugin.set(&json!({ "version": "1.2.707.0" })).unwrap();
    let said = told(&world, 5).await;
    assert!(said.contains("too old: it is 1.2.707.0, and AWS asks for 1.2.764.0 or newer"), "{said}");
    assert!(world.asked("StartSession").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_without_an_agent_is_told() {
    let world = World::new().await;
    world.change(|machine| {
        machine.no_session = vec![refusal("TargetNotConnected", "i-0123456789abcdef0 is not connected.")];
    });
    let said = told(&world, 4).await;
    assert!(said.contains(&format!("{ID} has no SSM agent that ever reported to AWS")), "{said}");
    assert!(said.contains("Debian's image has none") && said.contains("--via eic --direct"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_permission_is_named() {
    let world = World::new().await;
    world.change(|machine| {
        machine.no_session = vec![refusal(
            "AccessDeniedException",
            "User: arn:aws:iam::123456789012:user/alice is not authorized to perform: ssm:StartSession on resource: \
             arn:aws:ssm:eu-central-1::document/AWS-StartSSHSession",
        )];
    });
    let said = told(&world, 4).await;
    assert!(said.contains("the permission ssm:StartSession is missing"), "{said}");
    assert!(said.contains("irp setup --print policy"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_without_a_machine_is_told_with_region_and_account() {
    let world = World::new().await;
    assert!(irp(world.home(), &["keygen"]).output().unwrap().status.success());
    let output = world.run(&["connect", "other.irp.localhost", "3000", "--via", "auto"]).await;
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(
        said.contains("no machine serves other.irp.localhost in eu-central-1 (account 123456789012)"),
        "{said}"
    );
}
