//! What the policies allow and what they do not, judged by a small IAM: the calls that an edge and its person make,
//! and those of an edge that somebody else has taken over.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use irp_launch::policy::{Edge, Place, administrator, person, trust};
use irp_testkit::iam::{Call, Judge};

const ZONE: &str = "arn:aws:route53:::hostedzone/Z0123456789ABC";
const MANAGED: &str = "arn:aws:ssm:eu-central-1:123456789012:parameter/aws/reference/secretsmanager";
const SECRET: &str = "arn:aws:secretsmanager:eu-central-1:123456789012:secret";
const BUCKET: &str = "arn:aws:s3:::irp-123456789012-eu-central-1";
const PARAMETER: &str = "arn:aws:ssm:eu-central-1:123456789012:parameter";

fn place() -> Place {
    Place {
        partition: "aws".into(),
        region: "eu-central-1".into(),
        account: "123456789012".into(),
        zone_id: "Z0123456789ABC".into(),
        bucket: Some("irp-123456789012-eu-central-1".into()),
    }
}

fn edge(store: &str, kms_key: Option<&str>) -> Edge {
    Edge {
        host: "alice".parse().unwrap(),
        name: "alice.proxy.example.com".parse().unwrap(),
        has_role: true,
        is_caddy: false,
        store: store.parse().unwrap(),
        kms_key: kms_key.map(|key| key.parse().unwrap()),
    }
}

fn judge(edge: &Edge) -> Judge {
    Judge::of(&edge.policy(&place()).json())
}

/// ChangeResourceRecordSets as Route 53 shows it to IAM.
fn change(zone: &str, names: &[&str], types: &[&str], actions: &[&str]) -> Call {
    Call::new("route53:ChangeResourceRecordSets", zone)
        .with("route53:ChangeResourceRecordSetsNormalizedRecordNames", names)
        .with("route53:ChangeResourceRecordSetsRecordTypes", types)
        .with("route53:ChangeResourceRecordSetsActions", actions)
}

const NAME: &str = "alice.proxy.example.com";
const CHALLENGE: &str = "_acme-challenge.alice.proxy.example.com";

#[test]
fn every_call_of_an_edge_is_allowed() {
    let judge = judge(&edge("ssm", None));
    let calls = [
        Call::new("route53:ListHostedZonesByName", "*"),
        Call::new("route53:GetHostedZone", ZONE),
        Call::new("route53:ListResourceRecordSets", ZONE),
        Call::new("route53:GetChange", "arn:aws:route53:::change/C2682N5HXP0BZ4"),
        change(ZONE, &[NAME], &["A"], &["UPSERT"]),
        change(ZONE, &[NAME], &["A", "AAAA"], &["UPSERT"]),
        change(ZONE, &[NAME], &["A"], &["DELETE"]),
        change(ZONE, &[CHALLENGE], &["TXT"], &["UPSERT"]),
        change(ZONE, &[CHALLENGE], &["TXT"], &["DELETE"]),
        Call::new("ssm:GetParametersByPath", &format!("{PARAMETER}/irp/cert/{NAME}")),
        Call::new("ssm:GetParametersByPath", &format!("{PARAMETER}/irp/cert/{NAME}/identity")),
        Call::new("ssm:GetParameters", &format!("{PARAMETER}/irp/cert/{NAME}/identity/g0000000001")),
        Call::new("ssm:PutParameter", &format!("{PARAMETER}/irp/cert/{NAME}/identity/g0000000001")),
        Call::new("ssm:DeleteParameters", &format!("{PARAMETER}/irp/cert/{NAME}/identity/g0000000001")),
        Call::new("ssm:GetParameter", &format!("{PARAMETER}/irp/secret/alice/slack")),
        // As Parameter Store asks for a secret of Secrets Manager.
        Call::new("ssm:GetParameter", &format!("{MANAGED}/irp/secret/alice/slack")),
        Call::new("secretsmanager:GetSecretValue", &format!("{SECRET}:irp/secret/alice/slack-a1B2c3")),
        Call::new("ssm:GetParametersByPath", &format!("{PARAMETER}/irp/inbox/{NAME}/inbox-key")),
        Call::new("ssm:PutParameter", &format!("{PARAMETER}/irp/inbox/{NAME}/inbox-key/g0000000001")),
        Call::new("s3:ListBucket", BUCKET).with("s3:prefix", &[&format!("inbox/{NAME}/")]),
        Call::new("s3:GetObject", &format!("{BUCKET}/inbox/{NAME}/1")),
        Call::new("s3:PutObject", &format!("{BUCKET}/inbox/{NAME}/1")),
        Call::new("s3:DeleteObject", &format!("{BUCKET}/inbox/{NAME}/1")),
        Call::new("ssm:UpdateInstanceInformation", "arn:aws:ec2:eu-central-1:123456789012:instance/i-1"),
        Call::new("ssmmessages:OpenDataChannel", "*"),
    ];
    for call in calls {
        assert!(judge.allows(&call), "{call:?}");
    }
}

#[test]
fn what_is_somebody_elses_is_not() {
    let judge = judge(&edge("ssm", None));
    let other_zone = "arn:aws:route53:::hostedzone/Z9999999999XYZ";
    let calls = [
        // Another name, also beside one's own, and names that only look alike.
        change(ZONE, &["bob.proxy.example.com"], &["A"], &["UPSERT"]),
        change(ZONE, &[NAME, "bob.proxy.example.com"], &["A"], &["UPSERT"]),
        change(ZONE, &["proxy.example.com"], &["A"], &["UPSERT"]),
        change(ZONE, &["x.alice.proxy.example.com"], &["A"], &["UPSERT"]),
        change(ZONE, &["\\052.proxy.example.com"], &["A"], &["UPSERT"]),
        change(ZONE, &["_acme-challenge.bob.proxy.example.com"], &["TXT"], &["UPSERT"]),
        // Other types, also beside an allowed one, and types at the wrong name.
        change(ZONE, &[NAME], &["NS"], &["UPSERT"]),
        change(ZONE, &[NAME], &["CAA"], &["DELETE"]),
        change(ZONE, &[NAME], &["A", "CAA"], &["UPSERT"]),
        change(ZONE, &[NAME], &["TXT"], &["UPSERT"]),
        change(ZONE, &[CHALLENGE], &["A"], &["UPSERT"]),
        change(ZONE, &[CHALLENGE], &["NS"], &["UPSERT"]),
        change(ZONE, &[NAME, CHALLENGE], &["A", "TXT"], &["UPSERT"]),
        // Another kind of change.
        change(ZONE, &[NAME], &["A"], &["CREATE"]),
        change(ZONE, &[NAME], &["A"], &["UPSERT", "CREATE"]),
        // Nothing said at all, of which ForAllValues alone would hold.
        Call::new("route53:ChangeResourceRecordSets", ZONE),
        change(ZONE, &[], &[], &[]),
        // Another zone.
        change(other_zone, &[NAME], &["A"], &["UPSERT"]),
        Call::new("route53:ListResourceRecordSets", other_zone),
        Call::new("route53:DeleteHostedZone", ZONE),
        // Parameters of others, and what is nobody's to write.
        Call::new("ssm:GetParametersByPath", &format!("{PARAMETER}/irp/cert")),
        Call::new("ssm:GetParametersByPath", &format!("{PARAMETER}/")),
        Call::new("ssm:GetParameters", &format!("{PARAMETER}/irp/cert/bob.proxy.example.com/identity/g1")),
        Call::new("ssm:GetParameters", &format!("{PARAMETER}/irp/cert/{NAME}.evil.example/identity/g1")),
        Call::new("ssm:PutParameter", &format!("{PARAMETER}/irp/cert/bob.proxy.example.com/identity/g1")),
        Call::new("ssm:GetParameter", &format!("{PARAMETER}/irp/secret/bob/slack")),
        Call::new("ssm:PutParameter", &format!("{PARAMETER}/irp/secret/alice/slack")),
        Call::new("ssm:GetParameter", &format!("{PARAMETER}/database-password")),
        Call::new("ssm:GetParameter", &format!("{MANAGED}/irp/secret/bob/slack")),
        Call::new("ssm:GetParameter", &format!("{MANAGED}/database-password")),
        Call::new("secretsmanager:GetSecretValue", &format!("{SECRET}:irp/secret/bob/slack-a1B2c3")),
        Call::new("secretsmanager:GetSecretValue", &format!("{SECRET}:database-a1B2c3")),
        Call::new("secretsmanager:PutSecretValue", &format!("{SECRET}:irp/secret/alice/slack-a1B2c3")),
        Call::new("ssm:StartSession", "arn:aws:ec2:eu-central-1:123456789012:instance/i-2"),
        Call::new("ec2:RunInstances", "*"),
        Call::new("ec2:TerminateInstances", "*"),
        Call::new("ssm:GetParameter", &format!("{PARAMETER}/irp/inbox/bob.proxy.example.com/inbox-key/g1")),
        Call::new("ssm:PutParameter", &format!("{PARAMETER}/irp/inbox/{NAME}.evil.example/inbox-key/g1")),
        Call::new("s3:GetObject", &format!("{BUCKET}/edge/abc")),
        Call::new("s3:PutObject", &format!("{BUCKET}/edge/abc")),
        Call::new("s3:GetObject", &format!("{BUCKET}/inbox/bob.proxy.example.com/1")),
        Call::new("s3:PutObject", &format!("{BUCKET}/inbox/{NAME}.evil.example/1")),
        Call::new("s3:ListBucket", BUCKET).with("s3:prefix", &["inbox/bob.proxy.example.com/"]),
        Call::new("s3:ListBucket", BUCKET).with("s3:prefix", &[""]),
        Call::new("kms:Decrypt", "arn:aws:kms:eu-central-1:123456789012:key/1"),
        Call::new("iam:PassRole", "arn:aws:iam::123456789012:role/admin"),
    ];
    for call in calls {
        assert!(!judge.allows(&call), "{call:?}");
    }
}

#[test]
fn caddy_proves_nothing_by_dns_and_reads_no_parameter() {
    let judge = judge(&Edge { is_caddy: true, ..edge("ssm", None) });
    assert!(judge.allows(&change(ZONE, &[NAME], &["A"], &["UPSERT"])));
    assert!(!judge.allows(&change(ZONE, &[CHALLENGE], &["TXT"], &["UPSERT"])));
    for path in
        [format!("/irp/cert/{NAME}/x"), "/irp/secret/alice/slack".into(), format!("/irp/inbox/{NAME}/x")]
    {
        assert!(!judge.allows(&Call::new("ssm:GetParameter", &format!("{PARAMETER}{path}"))));
    }
    assert!(!judge.allows(&Call::new("s3:GetObject", &format!("{BUCKET}/inbox/{NAME}/1"))));
}

#[test]
fn a_bucket_is_used_below_the_own_name_only() {
    let caddy = Edge { is_caddy: true, ..edge("s3://my-bucket/certs", None) };
    for (edge, folder) in [
        (edge("s3://my-bucket/certs", None), "certs/alice.proxy.example.com"),
        (edge("s3://my-bucket", None), "alice.proxy.example.com"),
        (caddy, "certs/caddy/alice.proxy.example.com"),
    ] {
        let judge = judge(&edge);
        for action in ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"] {
            let of = |key: &str| Call::new(action, &format!("arn:aws:s3:::my-bucket/{key}"));
            assert!(judge.allows(&of(&format!("{folder}/identity"))), "{action} {folder}");
            assert!(!judge.allows(&of("certs/bob.proxy.example.com/identity")), "{action}");
            assert!(!judge.allows(&of(&format!("{folder}.evil/identity"))), "{action}");
        }
        let list =
            |prefix: &str| Call::new("s3:ListBucket", "arn:aws:s3:::my-bucket").with("s3:prefix", &[prefix]);
        assert!(judge.allows(&list(&format!("{folder}/"))));
        assert!(!judge.allows(&list("certs/bob.proxy.example.com/")) && !judge.allows(&list("")));
        // As S3 asks it when an object is missing.
        assert!(judge.allows(&Call::new("s3:ListBucket", "arn:aws:s3:::my-bucket")));
        assert!(!judge.allows(&Call::new("ssm:PutParameter", &format!("{PARAMETER}/irp/cert/{NAME}/x"))));
    }
}

#[test]
fn a_key_serves_for_the_own_parameters_only() {
    let arn = "arn:aws:kms:eu-central-1:123456789012:key/1234abcd";
    let use_of = |via: &str, path: &str| {
        Call::new("kms:Decrypt", arn)
            .with("kms:ViaService", &[via])
            .with("kms:ResourceAliases", &["alias/irp"])
            .with("kms:EncryptionContext:PARAMETER_ARN", &[&format!("{PARAMETER}{path}")])
    };
    let ssm = "ssm.eu-central-1.amazonaws.com";
    for key in ["1234abcd-0", "alias/irp", "arn:aws:kms:eu-central-1:123456789012:key/1234abcd"] {
        // An id alone is the id of another key here.
        let is_this = key != "1234abcd-0";
        let judge = judge(&edge("ssm", Some(key)));
        assert_eq!(judge.allows(&use_of(ssm, &format!("/irp/cert/{NAME}/x"))), is_this, "{key}");
        assert_eq!(judge.allows(&use_of(ssm, "/irp/secret/alice/slack")), is_this, "{key}");
        assert_eq!(judge.allows(&use_of(ssm, &format!("/irp/inbox/{NAME}/inbox-key/g1"))), is_this, "{key}");
        assert!(!judge.allows(&use_of(ssm, "/irp/cert/bob.proxy.example.com/x")));
        assert!(!judge.allows(&use_of("s3.eu-central-1.amazonaws.com", &format!("/irp/cert/{NAME}/x"))));
        assert!(!judge.allows(&Call::new("kms:Decrypt", arn)), "by itself");
    }
    let judge = judge(&edge("s3://my-bucket/certs", Some("alias/irp")));
    let secret = Call::new("kms:Decrypt", arn)
        .with("kms:ViaService", &["secretsmanager.eu-central-1.amazonaws.com"])
        .with("kms:ResourceAliases", &["alias/irp"]);
    let of =
        |name: &str| secret.clone().with("kms:EncryptionContext:SecretARN", &[&format!("{SECRET}:{name}")]);
    assert!(judge.allows(&of("irp/secret/alice/slack-a1B2c3")));
    assert!(!judge.allows(&of("irp/secret/bob/slack-a1B2c3")));
    let object = Call::new("kms:GenerateDataKey", arn)
        .with("kms:ViaService", &["s3.eu-central-1.amazonaws.com"])
        .with("kms:ResourceAliases", &["alias/irp"])
        .with("kms:EncryptionContext:aws:s3:arn", &["arn:aws:s3:::my-bucket"]);
    assert!(judge.allows(&object));
    let of = |arn: &str| object.clone().with("kms:EncryptionContext:aws:s3:arn", &[arn]);
    assert!(judge.allows(&of(&format!("{BUCKET}/inbox/{NAME}/1"))));
    assert!(!judge.allows(&of(&format!("{BUCKET}/inbox/bob.proxy.example.com/1"))));
    assert!(!judge.allows(&of(&format!("{BUCKET}/edge/abc"))));
    assert!(!judge.allows(&object.with("kms:ResourceAliases", &["alias/other"])));
}

#[test]
fn a_person_launches_this_name_and_no_other() {
    let judge = Judge::of(&person(&edge("ssm", None), &place()).unwrap().json());
    let instance = "arn:aws:ec2:eu-central-1:123456789012:instance/i-1";
    let role = "arn:aws:iam::123456789012:role/irp-edge-alice";
    let pass = |role: &str, to: &str| Call::new("iam:PassRole", role).with("iam:PassedToService", &[to]);
    let run = |name: &str| Call::new("ec2:RunInstances", instance).with("aws:RequestTag/irp:name", &[name]);
    let to = |action: &str, name: &str| Call::new(action, instance).with("aws:ResourceTag/irp:name", &[name]);
    let ends_when_off = |name: &str, value: &str| {
        to("ec2:ModifyInstanceAttribute", name)
            .with("ec2:Attribute/InstanceInitiatedShutdownBehavior", &[value])
    };
    let session = "arn:aws:ssm:eu-central-1:123456789012:session/${aws:userid}-0a1b";
    let group = "arn:aws:ec2:eu-central-1:123456789012:security-group/sg-1";
    for call in [
        run(NAME),
        Call::new("ec2:RunInstances", "arn:aws:ec2:eu-central-1::image/ami-1"),
        Call::new("ec2:RunInstances", "arn:aws:ec2:eu-central-1:123456789012:subnet/subnet-1"),
        Call::new("ec2:CreateTags", instance).with("ec2:CreateAction", &["RunInstances"]),
        pass(role, "ec2.amazonaws.com"),
        to("ec2:TerminateInstances", NAME),
        to("ec2-instance-connect:SendSSHPublicKey", NAME),
        to("ssm:StartSession", NAME),
        Call::new("ssm:StartSession", "arn:aws:ssm:eu-central-1::document/AWS-StartSSHSession"),
        Call::new("ssm:TerminateSession", session),
        Call::new(
            "ssm:GetParameter",
            "arn:aws:ssm:eu-central-1::parameter/aws/service/ami-amazon-linux-latest/x",
        ),
        change(ZONE, &[NAME], &["A"], &["DELETE"]),
        Call::new("ssm:PutParameter", &format!("{PARAMETER}/irp/secret/alice/slack")),
        Call::new("s3:PutObject", "arn:aws:s3:::irp-123456789012-eu-central-1/edge/0a1b"),
        Call::new("s3:DeleteObject", &format!("{BUCKET}/inbox/{NAME}/1")),
        Call::new("ssm:DeleteParameters", &format!("{PARAMETER}/irp/inbox/{NAME}/inbox-key/g0000000001")),
        Call::new("iam:GetRolePolicy", role),
        ends_when_off(NAME, "terminate"),
        Call::new("ec2:DeleteSecurityGroup", group).with("aws:ResourceTag/irp:group", &["irp-edge"]),
    ] {
        assert!(judge.allows(&call), "{call:?}");
    }
    for call in [
        run("bob.proxy.example.com"),
        Call::new("ec2:RunInstances", instance),
        Call::new("ec2:CreateTags", instance),
        pass("arn:aws:iam::123456789012:role/admin", "ec2.amazonaws.com"),
        pass(role, "lambda.amazonaws.com"),
        to("ec2:TerminateInstances", "bob.proxy.example.com"),
        to("ssm:StartSession", "bob.proxy.example.com"),
        Call::new("ssm:StartSession", "arn:aws:ssm:eu-central-1:123456789012:document/AWS-RunShellScript"),
        Call::new("iam:PutRolePolicy", role),
        ends_when_off("bob.proxy.example.com", "terminate"),
        ends_when_off(NAME, "stop"),
        to("ec2:ModifyInstanceAttribute", NAME),
        to("ec2:ModifyInstanceAttribute", NAME).with("ec2:Attribute/UserData", &["terminate"]),
        Call::new("ec2:DeleteSecurityGroup", group),
        Call::new("ec2:DeleteSecurityGroup", group).with("aws:ResourceTag/irp:group", &["other"]),
        change(ZONE, &["bob.proxy.example.com"], &["A"], &["DELETE"]),
        Call::new("ssm:GetParameter", &format!("{PARAMETER}/irp/secret/alice/slack")),
        Call::new("s3:DeleteObject", &format!("{BUCKET}/inbox/bob.proxy.example.com/1")),
        Call::new("s3:GetObject", &format!("{BUCKET}/inbox/{NAME}/1")),
    ] {
        assert!(!judge.allows(&call), "{call:?}");
    }
}

#[test]
fn a_person_looks_at_certificates_in_a_bucket_and_forgets_them() {
    let judge = Judge::of(&person(&edge("s3://my-bucket/certs", None), &place()).unwrap().json());
    let of = |action: &str, name: &str| {
        judge.allows(&Call::new(action, &format!("arn:aws:s3:::my-bucket/certs/{name}/identity")))
    };
    assert!(of("s3:GetObject", NAME) && of("s3:DeleteObject", NAME));
    assert!(!of("s3:PutObject", NAME) && !of("s3:GetObject", "bob.proxy.example.com"));
    let list = Call::new("s3:ListBucket", "arn:aws:s3:::my-bucket");
    assert!(judge.allows(&list.clone().with("s3:prefix", &[&format!("certs/{NAME}/")])));
    assert!(!judge.allows(&list.with("s3:prefix", &["certs/bob.proxy.example.com/"])));
}

#[test]
fn whoever_sets_up_makes_this_role_and_no_other() {
    let judge = Judge::of(&administrator(&edge("ssm", None), &place()).unwrap().json());
    let role = "arn:aws:iam::123456789012:role/irp-edge-";
    assert!(judge.allows(&Call::new("iam:PutRolePolicy", &format!("{role}alice"))));
    assert!(!judge.allows(&Call::new("iam:PutRolePolicy", &format!("{role}bob"))));
    assert!(!judge.allows(&Call::new("iam:AttachRolePolicy", &format!("{role}alice"))));
}

#[test]
fn without_a_role_nobody_gets_rights_in_iam() {
    // Its label could not be part of a role's name.
    let host = "a".repeat(56);
    let name = format!("{host}.proxy.example.com");
    let bare = Edge {
        host: host.parse().unwrap(),
        name: name.parse().unwrap(),
        has_role: false,
        ..edge("file", None)
    };
    let (user, setup) =
        (person(&bare, &place()).unwrap().json(), administrator(&bare, &place()).unwrap().json());
    for (document, whole) in [
        (&user, person(&edge("file", None), &place()).unwrap().json()),
        (&setup, administrator(&edge("file", None), &place()).unwrap().json()),
    ] {
        assert!(!document.to_string().contains("iam:"), "{document}");
        // All else is as it is with a role.
        let sids = |document: &serde_json::Value| -> Vec<String> {
            let all = document["Statement"].as_array().unwrap().iter();
            let others = all.filter(|statement| !statement["Action"].to_string().contains("iam:"));
            others.map(|statement| statement["Sid"].to_string()).collect()
        };
        assert_eq!(sids(document), sids(&whole));
    }
    let judge = Judge::of(&user);
    assert!(judge.allows(&change(ZONE, &[&name], &["A", "AAAA"], &["UPSERT"])));
}

#[test]
fn machines_assume_the_role_and_names_of_roles_have_an_end() {
    let document = trust(&place()).json();
    assert_eq!(document["Statement"][0]["Principal"]["Service"], "ec2.amazonaws.com");
    assert_eq!(document["Statement"][0].get("Resource"), None);
    assert_eq!(edge("ssm", None).role_name().unwrap().unwrap(), "irp-edge-alice");
    let long = Edge { host: "a".repeat(56).parse().unwrap(), ..edge("ssm", None) };
    assert!(long.role_name().unwrap_err().to_string().contains("55"));
    assert_eq!(Edge { has_role: false, ..long }.role_name(), Ok(None));
}

#[test]
fn an_inline_policy_has_room() {
    // 10 240 characters without white space (IAM quotas), at the longest name there is.
    let label = "a".repeat(55);
    let name = format!("{label}.{}example.com", "b".repeat(60).to_owned() + ".");
    let long = Edge {
        host: label.parse().unwrap(),
        name: name.parse().unwrap(),
        ..edge(&format!("s3://{}/{}", "b".repeat(63), "p".repeat(500)), Some("alias/irp"))
    };
    let length = long.policy(&place()).json().to_string().len();
    assert!(length < 10_240, "{length}");
}

#[test]
fn what_people_get_fits_where_they_keep_it() {
    let length = |edge: &Edge| person(edge, &place()).unwrap().json().to_string().len();
    // A managed policy has 6 144 characters without white space, an inline one of a role 10 240 (IAM quotas).
    let plain = length(&edge("ssm", None));
    assert!(plain < 6144, "{plain}");
    let key = "arn:aws:kms:eu-central-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab";
    let more = length(&edge("s3://my-bucket/certs", Some(key)));
    assert!(more < 10_240, "{more}");
}

#[test]
fn policies_look_as_reviewed() {
    let edge = edge("ssm", None);
    insta::assert_snapshot!("edge", pretty(&edge.policy(&place()).json()));
    insta::assert_snapshot!("person", pretty(&person(&edge, &place()).unwrap().json()));
}

fn pretty(document: &serde_json::Value) -> String {
    serde_json::to_string_pretty(document).unwrap()
}
