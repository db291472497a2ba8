//! `irp setup`: what it makes, seen from outside; that it does no harm when it is run again; what it prints; its end.

use irp_testkit::{detour::Detour, scripted::Reply};
use serde_json::{Value, json};

use crate::stage::{Stage, err};

const ENV: &str = "HOSTED_ZONE_DOMAIN=proxy.example.com\n";
const NAME: &str = "alice.proxy.example.com";
const ROLE: &str = "irp-edge-alice";
const BUCKET: &str = "irp-123456789012-eu-central-1";

fn stage() -> (Stage, String) {
    let stage = Stage::new();
    stage.write(".env", ENV);
    let zone = stage.zone("proxy.example.com");
    (stage, zone)
}

/// The items of a run with `--json`, each with its state.
#[track_caller]
fn states(stage: &Stage, arguments: &[&str]) -> Vec<(String, String)> {
    let events = stage.events(&[&["setup"], arguments].concat());
    let items = events.iter().filter(|event| event["event"] == "item");
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    items.map(|event| (text(&event["item"]), text(&event["state"]))).collect()
}

#[test]
fn everything_is_made_once_and_a_second_time_does_nothing() {
    let (stage, zone) = stage();
    let dry = states(&stage, &["--dry-run"]);
    assert_eq!(dry.len(), 7, "{dry:?}");
    assert!(dry.iter().all(|(_, state)| state == "would create" || state == "would update"), "{dry:?}");
    assert_eq!(stage.aws(&["iam", "list-roles"])["Roles"], json!([]), "a trial makes nothing");

    let labels = ["role", "policy", "profile", "group", "bucket", "template", "caa"];
    let made = states(&stage, &["--tag", "team=web bots"]);
    assert_eq!(made, labels.map(|label| (label.to_owned(), "made".to_owned())));
    let again = states(&stage, &["--tag", "team=web bots"]);
    assert_eq!(again, labels.map(|label| (label.to_owned(), "there".to_owned())));

    // The role: for machines, with one policy for this name.
    let role = &stage.aws(&["iam", "get-role", "--role-name", ROLE])["Role"];
    let trust = &role["AssumeRolePolicyDocument"]["Statement"][0];
    assert_eq!(trust["Principal"]["Service"], "ec2.amazonaws.com");
    let tags: Vec<_> =
        role["Tags"].as_array().unwrap().iter().map(|tag| (&tag["Key"], &tag["Value"])).collect();
    assert!(
        tags.contains(&(&json!("irp:name"), &json!(NAME)))
            && tags.contains(&(&json!("team"), &json!("web bots")))
    );
    let policy =
        stage.aws(&["iam", "get-role-policy", "--role-name", ROLE, "--policy-name", "irp-edge"])["PolicyDocument"]
            .to_string();
    assert!(policy.contains(&format!("hostedzone/{zone}")), "{policy}");
    assert!(policy.contains("parameter/irp/cert/alice.proxy.example.com/*"), "{policy}");
    assert!(!policy.contains("\"Resource\":\"*\""), "{policy}");
    let profile = stage.aws(&["iam", "get-instance-profile", "--instance-profile-name", ROLE]);
    assert_eq!(profile["InstanceProfile"]["Roles"][0]["RoleName"], ROLE);

    // The group: 443 and nothing else.
    let groups = stage.aws(&["ec2", "describe-security-groups", "--group-names", "irp-edge"]);
    let group = &groups["SecurityGroups"][0];
    for rule in group["IpPermissions"].as_array().unwrap() {
        assert_eq!((&rule["FromPort"], &rule["ToPort"]), (&json!(443), &json!(443)), "{rule}");
    }

    // The template: what the one-liner of the original relies on.
    let version = stage.aws(&[
        "ec2",
        "describe-launch-template-versions",
        "--launch-template-name",
        "reverse-proxy",
        "--versions",
        "$Default",
    ]);
    let data = &version["LaunchTemplateVersions"][0]["LaunchTemplateData"];
    assert_eq!(data["InstanceInitiatedShutdownBehavior"], "terminate", "{data}");
    assert_eq!(data["IamInstanceProfile"]["Name"], ROLE);
    assert_eq!(data["MetadataOptions"]["HttpTokens"], "required");
    assert_eq!(data["MetadataOptions"]["HttpPutResponseHopLimit"], 1);
    assert_eq!(data["MetadataOptions"]["InstanceMetadataTags"], "enabled");
    assert_eq!(data["BlockDeviceMappings"][0]["Ebs"]["Encrypted"], true);
    assert_eq!(data["BlockDeviceMappings"][0]["Ebs"]["VolumeType"], "gp3");
    assert_eq!(data["CreditSpecification"]["CpuCredits"], "standard");
    assert_eq!(data["NetworkInterfaces"][0]["Groups"][0], group["GroupId"]);
    assert!(
        data["ImageId"].as_str().unwrap().starts_with("resolve:ssm:/aws/service/ami-amazon-linux-latest/")
    );
    assert_eq!(
        version["LaunchTemplateVersions"][0]["VersionNumber"], 1,
        "the second run wrote no new version"
    );

    // The bucket: private, encrypted, and it forgets programs.
    let of_bucket = |what: &str| stage.aws(&["s3api", what, "--bucket", BUCKET]);
    let access = of_bucket("get-public-access-block");
    assert_eq!(access["PublicAccessBlockConfiguration"]["BlockPublicPolicy"], true);
    assert!(of_bucket("get-bucket-encryption").to_string().contains("AES256"));
    assert_eq!(of_bucket("get-bucket-lifecycle-configuration")["Rules"][0]["Filter"]["Prefix"], "edge/");

    let caa = caa(&stage, &zone);
    assert_eq!(caa[0]["Value"], "0 issue \"letsencrypt.org;validationmethods=dns-01\"");
}

#[track_caller]
fn caa(stage: &Stage, zone: &str) -> Value {
    let sets = stage.aws(&["route53", "list-resource-record-sets", "--hosted-zone-id", zone]);
    let sets = sets["ResourceRecordSets"].as_array().unwrap();
    let set = sets.iter().find(|set| set["Type"] == "CAA" && set["Name"] == format!("{NAME}."));
    set.map(|set| set["ResourceRecords"].clone()).unwrap_or_default()
}

#[test]
fn what_changed_is_mended_and_nothing_else() {
    let (stage, zone) = stage();
    stage.run(&["setup"]);
    let changed = |states: Vec<(String, String)>| -> Vec<String> {
        states.into_iter().filter(|(_, state)| state == "made").map(|(item, _)| item).collect()
    };
    // Interrupted, or somebody's hand.
    stage.aws(&["iam", "delete-role-policy", "--role-name", ROLE, "--policy-name", "irp-edge"]);
    stage.aws(&["s3api", "delete-public-access-block", "--bucket", BUCKET]);
    assert_eq!(changed(states(&stage, &[])), ["policy", "bucket"]);
    stage.aws(&[
        "iam",
        "remove-role-from-instance-profile",
        "--instance-profile-name",
        ROLE,
        "--role-name",
        ROLE,
    ]);
    assert_eq!(changed(states(&stage, &["--instance-type", "t4g.micro"])), ["profile", "template"]);
    // Caddy proves the name by its address, which the CAA records would forbid.
    let caddy = ["--caddy-dl-url", "https://example.com/caddy_linux_arm64.tar.gz"];
    assert_eq!(changed(states(&stage, &caddy)), ["policy", "template", "caa"]);
    assert_eq!(caa(&stage, &zone), Value::Null);

    // Another name shares group and bucket; its template must be another.
    let text = stage.fails(4, &["setup", "--host-name", "bob"]);
    assert!(text.contains("reverse-proxy, and it is that of alice.proxy.example.com"), "{text}");
    let bob = states(&stage, &["--host-name", "bob", "--launch-template", "reverse-proxy-bob"]);
    assert_eq!(changed(bob), ["role", "policy", "profile", "template", "caa"]);
}

#[test]
fn an_own_rule_of_the_company_stays() {
    let (stage, zone) = stage();
    let batch = json!({ "Changes": [{ "Action": "CREATE", "ResourceRecordSet": {
        "Name": NAME, "Type": "CAA", "TTL": 300, "ResourceRecords": [{ "Value": "0 issue \"example.net\"" }] } }] });
    let batch = batch.to_string();
    let arguments =
        ["route53", "change-resource-record-sets", "--hosted-zone-id", &zone, "--change-batch", &batch];
    stage.aws(&arguments);
    let boundary = "arn:aws:iam::123456789012:policy/boundary";
    let output = stage.irp(&["setup", "--permissions-boundary", boundary, "--no-color"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "no such flag");
    let output = stage.irp(&["setup", "--permissions-boundary", boundary]).output().unwrap();
    let text = err(&output);
    assert!(output.status.success() && output.stdout.is_empty(), "{text}");
    assert!(text.contains("CAA records of somebody else"), "{text}");
    assert!(text.contains("is told for") && text.contains("SOA"), "{text}");
    assert_eq!(caa(&stage, &zone)[0]["Value"], "0 issue \"example.net\"");
    let role = stage.aws(&["iam", "get-role", "--role-name", ROLE]);
    assert_eq!(role["Role"]["PermissionsBoundary"]["PermissionsBoundaryArn"], boundary);
}

#[test]
fn without_a_role_the_consequences_are_told() {
    let (stage, zone) = stage();
    let output = stage.irp(&["setup", "--no-role"]).output().unwrap();
    let text = err(&output);
    assert!(output.status.success(), "{text}");
    assert!(text.contains("certificates are not kept between launches"), "{text}");
    assert_eq!(stage.aws(&["iam", "list-roles"])["Roles"], json!([]));
    assert_eq!(caa(&stage, &zone), Value::Null);

    // What is printed for others is that of machines without a role, too, and a name that no role can have does.
    let long = "a".repeat(60);
    for host in ["alice", long.as_str()] {
        let output =
            stage.irp(&["setup", "--no-role", "--host-name", host, "--print", "policy"]).output().unwrap();
        let text = err(&output);
        assert!(output.status.success(), "{text}");
        assert!(text.contains("the machines have no role"), "{text}");
        let policy: Value = serde_json::from_slice(&output.stdout).unwrap();
        let documents: Vec<_> = policy.as_object().unwrap().keys().collect();
        assert_eq!(documents, ["setup", "user"]);
        assert!(!policy.to_string().contains("iam:"), "{policy}");
    }
    let text = stage.fails(3, &["setup", "--host-name", &long, "--print", "policy"]);
    assert!(text.contains("no role can be named after this host") && text.contains("--no-role"), "{text}");
}

#[test]
fn a_zone_is_made_and_its_name_servers_are_told() {
    let stage = Stage::new();
    stage.write(".env", ENV);
    let text = stage.fails(4, &["setup"]);
    assert!(text.contains("no Route 53 zone named proxy.example.com"), "{text}");
    let output = stage.irp(&["setup", "--create-zone"]).output().unwrap();
    let text = err(&output);
    assert!(output.status.success(), "{text}");
    let zones = stage.aws(&["route53", "list-hosted-zones"]);
    let zones = zones["HostedZones"].as_array().unwrap();
    assert_eq!(zones.len(), 1);
    let zone = stage.aws(&["route53", "get-hosted-zone", "--id", zones[0]["Id"].as_str().unwrap()]);
    for server in zone["DelegationSet"]["NameServers"].as_array().unwrap() {
        assert!(text.contains(server.as_str().unwrap()), "{server}: {text}");
    }
    stage.run(&["setup", "--create-zone"]);
    let zones = stage.aws(&["route53", "list-hosted-zones"]);
    assert_eq!(zones["HostedZones"].as_array().unwrap().len(), 1, "not a second one");
}

#[test]
fn what_is_printed_is_on_stdout_alone_and_makes_nothing() {
    let (stage, _) = stage();
    let print =
        |what: &str| -> Value { serde_json::from_str(&stage.run(&["setup", "--print", what])).unwrap() };
    let policy = print("policy");
    for document in ["role", "trust", "user", "setup"] {
        assert_eq!(policy[document]["Version"], "2012-10-17", "{document}");
    }
    assert_eq!(print("terraform")["resource"]["aws_iam_role"]["alice_proxy_example_com"]["name"], ROLE);
    assert_eq!(stage.aws(&["iam", "list-roles"])["Roles"], json!([]));

    // What CloudFormation makes of it is what setup itself wants.
    let template = stage.write("irp.json", &print("cloudformation").to_string());
    let file = format!("file://{}", template.display());
    stage.aws(&["cloudformation", "create-stack", "--stack-name", "irp", "--template-body", &file]);
    let role = stage.aws(&["iam", "get-role", "--role-name", ROLE]);
    assert_eq!(role["Role"]["RoleName"], ROLE);
    let templates = stage.aws(&["ec2", "describe-launch-templates"]);
    assert_eq!(templates["LaunchTemplates"][0]["LaunchTemplateName"], "reverse-proxy");
}

#[test]
fn what_was_made_is_removed_and_what_others_use_stays() {
    let (stage, zone) = stage();
    stage.run(&["setup"]);
    stage.run(&["setup", "--host-name", "bob", "--launch-template", "reverse-proxy-bob"]);
    let gone = |states: Vec<(String, String)>| -> Vec<String> {
        states.into_iter().map(|(item, state)| format!("{item} {state}")).collect()
    };
    let bob = ["--delete", "--host-name", "bob", "--launch-template", "reverse-proxy-bob"];
    assert_eq!(
        gone(states(&stage, &bob)),
        ["caa removed", "template removed", "profile removed", "role removed", "group stays", "bucket stays"]
    );
    stage.aws(&["s3api", "put-object", "--bucket", BUCKET, "--key", "edge/0a1b"]);
    assert_eq!(
        gone(states(&stage, &["--delete"])),
        [
            "caa removed",
            "template removed",
            "profile removed",
            "role removed",
            "group removed",
            "bucket removed"
        ]
    );
    assert_eq!(states(&stage, &["--delete"]), [], "nothing is left");
    assert_eq!(stage.aws(&["iam", "list-roles"])["Roles"], json!([]));
    assert_eq!(stage.aws(&["s3api", "list-buckets"])["Buckets"], json!([]));
    assert_eq!(caa(&stage, &zone), Value::Null);
}

/// Who takes everything away has perhaps removed the network already, and may not look for images.
#[tokio::test]
async fn what_was_made_is_removed_without_asking_for_network_or_image() {
    let stage = tokio::task::spawn_blocking(|| {
        let (stage, _) = stage();
        stage.run(&["setup"]);
        stage
    });
    let stage = stage.await.unwrap();
    let denied = || {
        let refusal = "<Response><Errors><Error><Code>UnauthorizedOperation</Code><Message>no</Message></Error></Errors>\
                       </Response>";
        Reply::new(403, refusal).with("content-type", "text/xml")
    };
    let replies = ["Action=DescribeVpcs", "Action=DescribeImages", "AmazonSSM.GetParameter"];
    let detour = Detour::start(stage.moto().address()).await.unwrap();
    replies.into_iter().for_each(|mark| detour.always(mark, denied()));
    let url = detour.url();
    let checked = tokio::task::spawn_blocking(move || {
        let output = stage.irp_at(&url, &["setup", "--delete"]).output().unwrap();
        assert!(output.status.success(), "{}", err(&output));
        let groups = stage.aws(&["ec2", "describe-security-groups"]).to_string();
        assert!(!groups.contains("irp-edge"), "{groups}");
        assert_eq!(stage.aws(&["iam", "list-roles"])["Roles"], json!([]));
    });
    checked.await.unwrap();
}
