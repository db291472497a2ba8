//! Roles, policies and profiles.

use irp_aws::{
    Kind,
    iam::{CreateRole, Decision, Simulation},
};
use irp_testkit::scripted::Reply;

use crate::support::{scripted, world};

const TRUST: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole"}]}"#;
const POLICY: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"route53:GetChange","Resource":"arn:aws:route53:::change/*"}]}"#;

#[tokio::test]
async fn a_role_gets_a_policy_and_a_profile_and_all_go_again() {
    let world = world().await;
    let iam = world.aws.iam();
    assert_eq!(iam.role("irp-edge-alice").await.unwrap(), None);
    let role = CreateRole {
        name: "irp-edge-alice".into(),
        trust: TRUST.into(),
        description: "irp".into(),
        permissions_boundary: None,
        tags: [("irp:managed".to_owned(), "true".to_owned())].into(),
    };
    let made = iam.create_role(&role).await.unwrap();
    assert_eq!(iam.create_role(&role).await.unwrap_err().kind(), Kind::Exists);
    let found = iam.role("irp-edge-alice").await.unwrap().unwrap();
    assert_eq!((&found.arn, &found.tags), (&made.arn, &role.tags));
    assert_eq!(found.permissions_boundary, None);
    let boundary = "arn:aws:iam::123456789012:policy/boundary";
    iam.put_role_boundary(&role.name, boundary).await.unwrap();
    let found = iam.role("irp-edge-alice").await.unwrap().unwrap();
    assert_eq!(found.permissions_boundary.as_deref(), Some(boundary));
    iam.put_role_policy(&role.name, "edge", POLICY).await.unwrap();
    assert_eq!(iam.role_policies(&role.name).await.unwrap(), ["edge"]);
    assert_eq!(
        iam.role_policy(&role.name, "edge").await.unwrap().unwrap().replace(": ", ":").replace(", ", ","),
        POLICY
    );
    assert_eq!(iam.role_policy(&role.name, "other").await.unwrap(), None);

    assert_eq!(iam.instance_profile(&role.name).await.unwrap(), None);
    iam.create_instance_profile(&role.name, &role.tags).await.unwrap();
    iam.add_role_to_profile(&role.name, &role.name).await.unwrap();
    assert_eq!(iam.add_role_to_profile(&role.name, &role.name).await.unwrap_err().kind(), Kind::Quota);
    let profile = iam.instance_profile(&role.name).await.unwrap().unwrap();
    assert_eq!(profile.roles[0].arn, made.arn);
    let arguments = ["iam", "get-instance-profile", "--instance-profile-name", &role.name];
    let seen = world.moto.cli(&arguments).unwrap();
    assert_eq!(seen["InstanceProfile"]["Roles"][0]["RoleName"], role.name.as_str());

    assert_eq!(iam.delete_instance_profile(&role.name).await.unwrap_err().kind(), Kind::InUse);
    assert!(iam.remove_role_from_profile(&role.name, &role.name).await.unwrap());
    assert!(iam.delete_instance_profile(&role.name).await.unwrap());
    assert!(!iam.delete_instance_profile(&role.name).await.unwrap());
    assert!(iam.delete_role_policy(&role.name, "edge").await.unwrap());
    assert!(!iam.delete_role_policy(&role.name, "edge").await.unwrap());
    assert!(iam.delete_role(&role.name).await.unwrap());
    assert!(!iam.delete_role(&role.name).await.unwrap());
}

#[tokio::test]
async fn a_simulation_tells_what_denies() {
    let answer = "<SimulatePrincipalPolicyResponse xmlns=\"https://iam.amazonaws.com/doc/2010-05-08/\">\
                  <SimulatePrincipalPolicyResult><IsTruncated>false</IsTruncated><EvaluationResults>\
                  <member><EvalActionName>ec2:RunInstances</EvalActionName><EvalResourceName>*</EvalResourceName>\
                  <EvalDecision>allowed</EvalDecision><MatchedStatements/></member>\
                  <member><EvalActionName>iam:PassRole</EvalActionName><EvalDecision>implicitDeny</EvalDecision>\
                  <MissingContextValues><member>iam:PassedToService</member></MissingContextValues>\
                  <OrganizationsDecisionDetail><AllowedByOrganizations>false</AllowedByOrganizations>\
                  </OrganizationsDecisionDetail></member></EvaluationResults></SimulatePrincipalPolicyResult>\
                  </SimulatePrincipalPolicyResponse>";
    let (aws, server) = scripted([Reply::xml(answer)]).await;
    let question = Simulation {
        principal: "arn:aws:iam::1:role/dev".into(),
        actions: vec!["ec2:RunInstances".into(), "iam:PassRole".into()],
        resources: Vec::new(),
        context: vec![("route53:ChangeResourceRecordSetsActions".into(), vec!["UPSERT".into()])],
    };
    let said = aws.iam().simulate(&question).await.unwrap();
    assert_eq!((said[0].decision, said[0].allowed_by_organisation), (Decision::Allowed, None));
    assert_eq!((said[1].decision, said[1].allowed_by_organisation), (Decision::ImplicitDeny, Some(false)));
    assert_eq!(said[1].missing_context_values, ["iam:PassedToService"]);
    let body = &server.asked()[0].body;
    assert!(body.contains("ActionNames.member.2=iam%3APassRole"), "{body}");
    assert!(body.contains("ContextEntries.member.1.ContextKeyValues.member.1=UPSERT"), "{body}");
}
