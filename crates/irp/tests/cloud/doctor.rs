//! `irp doctor`: broken set-ups, each explained with what mends it, and one in which nothing is wrong.

use std::{
    net::SocketAddr,
    path::PathBuf,
    process::Command,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use irp_testkit::{canned_ca::CannedCa, detour::Detour, dns::Responder, scripted::Reply};
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
        self.doctor_at(self.stage.moto().url(), more).await
    }

    /// With AWS that answers some calls otherwise than moto does.
    async fn doctor_with(&self, replies: Vec<(&'static str, Reply)>) -> Report {
        let detour = Detour::start(self.stage.moto().address()).await.unwrap();
        replies.into_iter().for_each(|(mark, reply)| detour.always(mark, reply));
        self.doctor_at(detour.url(), &[]).await
    }

    /// On a PC that trusts these authorities.
    async fn doctor_trusting(&self, roots: PathBuf) -> Report {
        let (url, resolver) = (self.stage.moto().url(), self.dns.address().to_string());
        self.on_the_side(move |stage| {
            let mut command = stage.irp_at(&url, &["--json", "doctor", "--resolver", &resolver]);
            Report::of_run(command.env("SSL_CERT_FILE", roots))
        })
        .await
    }

    async fn doctor_at(&self, url: String, more: &'static [&'static str]) -> Report {
        let resolver: SocketAddr = self.dns.address();
        self.on_the_side(move |stage| {
            let resolver = resolver.to_string();
            let arguments = [&["--json", "doctor", "--resolver", &resolver], more].concat();
            Report::of_run(&mut stage.irp_at(&url, &arguments))
        })
        .await
    }
}

impl Report {
    fn of_run(command: &mut Command) -> Self {
        let output = command.output().unwrap();
        let events = out(&output);
        let events = events.lines().map(|line| serde_json::from_str(line).unwrap());
        let checks = events.filter(|event: &Value| event["event"] == "check").collect();
        Self { checks, code: output.status.code() }
    }

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
        "certificate",
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

/// Another authority than Let's Encrypt knows itself by another name, and only its directory tells which.
#[tokio::test]
async fn the_caa_name_of_another_authority_is_asked_of_it() {
    let world = World::new().await;
    world.prepare().await;
    world.dns.remove(NAME);
    world.dns.add_caa("example.com", "issue", "pki.example");
    let folder = world.stage.home().join("ca");
    std::fs::create_dir(&folder).unwrap();
    let ninety_days = Duration::from_secs(90 * 86_400);
    let ca = CannedCa::start(&folder, Arc::new(SystemTime::now), ninety_days).await.unwrap();
    let env = format!("{ENV}ACME_DIRECTORY={}\n", ca.directory_url);
    world.stage.write(".env", &env);
    let roots = ca.root_pem.clone();
    let doctor = async || world.doctor_trusting(roots.clone()).await;

    // It tells no name, or is not trusted by this PC: nobody knows.
    let (ok, text) = doctor().await.of("caa");
    assert!(ok.is_null() && text.contains("pki.example") && text.contains("is not known"), "{text}");
    let (ok, text) = world.doctor(&[]).await.of("caa");
    assert!(ok.is_null() && text.contains("is not reached"), "{text}");

    ca.tell(|told| told.caa_identities = vec!["ca.example".into(), "pki.example".into()]);
    doctor().await.is_right("caa");
    ca.tell(|told| told.caa_identities = vec!["ca.example".into()]);
    let report = doctor().await;
    report.is_wrong("caa", &["example.com forbids", &ca.directory_url, "add to example.com: CAA 0 issue"]);
    report.is_wrong("caa", &["ca.example"]);
    let (_, text) = report.of("caa");
    assert!(!text.contains("Let's Encrypt") && !text.contains("letsencrypt.org"), "{text}");
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

#[tokio::test]
async fn an_organisation_that_denies_is_told_from_a_policy_that_lacks_something() {
    let world = World::new().await;
    world.prepare().await;
    let message = "You are not authorized to perform this operation. User: arn:aws:iam::123456789012:user/alice is not \
                   authorized to perform: ec2:RunInstances with an explicit deny in a service control policy";
    let refusal = format!(
        "<Response><Errors><Error><Code>UnauthorizedOperation</Code><Message>{message}</Message></Error></Errors>\
         <RequestID>59dbff89</RequestID></Response>"
    );
    let launch = ("Action=RunInstances", Reply::new(403, refusal).with("content-type", "text/xml"));
    let result = "<member><EvalActionName>route53:ChangeResourceRecordSets</EvalActionName><EvalDecision>implicitDeny\
                  </EvalDecision><OrganizationsDecisionDetail><AllowedByOrganizations>false</AllowedByOrganizations>\
                  </OrganizationsDecisionDetail></member>";
    let simulation = format!(
        "<SimulatePrincipalPolicyResponse><SimulatePrincipalPolicyResult><IsTruncated>false</IsTruncated>\
         <EvaluationResults>{result}</EvaluationResults></SimulatePrincipalPolicyResult></SimulatePrincipalPolicyResponse>"
    );
    let role = ("Action=SimulatePrincipalPolicy", Reply::xml(simulation));
    let report = world.doctor_with(vec![launch, role]).await;
    report.is_wrong(
        "launch",
        &["your organisation forbids ec2:RunInstances", "those who run the AWS organisation"],
    );
    report.is_wrong("policy", &["your organisation forbids route53:ChangeResourceRecordSets"]);
    report.is_right("zone");
}

#[tokio::test]
async fn a_quota_that_is_used_up_is_explained() {
    let world = World::new().await;
    world.prepare().await;
    let quota = |value: f64| {
        let body =
            json!({ "Quota": { "QuotaName": "Running On-Demand Standard instances", "Value": value } });
        vec![("GetServiceQuota", Reply::json(200, body.to_string()))]
    };
    world.doctor_with(quota(2.0)).await.is_right("quota");
    world.doctor_with(quota(0.0)).await.is_wrong("quota", &["0 vCPUs", "a t4g.nano has 2", "L-1216C47A"]);
    // Something else of the account takes the room.
    world
        .on_the_side(|stage| {
            let run = ["ec2", "run-instances", "--image-id", "ami-12345678", "--instance-type", "t3.micro"];
            stage.aws(&run);
        })
        .await;
    world.doctor_with(quota(2.0)).await.is_wrong("quota", &["2 in use", "irp ls"]);
}

#[tokio::test]
async fn a_clock_that_is_wrong_is_explained() {
    let world = World::new().await;
    world.prepare().await;
    let date = |ago: u64| httpdate(SystemTime::now() - Duration::from_secs(ago));
    let caller = "<GetCallerIdentityResponse><GetCallerIdentityResult><Arn>arn:aws:iam::123456789012:user/alice</Arn>\
                  <UserId>AIDA1</UserId><Account>123456789012</Account></GetCallerIdentityResult></GetCallerIdentityResponse>";
    let taken = Reply::xml(caller).with("date", &date(200));
    let report = world.doctor_with(vec![("Action=GetCallerIdentity", taken)]).await;
    report.is_wrong("clock", &["s ahead of that of AWS", "timedatectl"]);
    report.is_right("credentials");
    let refusal = "<ErrorResponse><Error><Code>RequestTimeTooSkewed</Code><Message>The difference is too large</Message>\
                   </Error></ErrorResponse>";
    let refused = Reply::new(403, refusal).with("content-type", "text/xml").with("date", &date(4000));
    let report = world.doctor_with(vec![("Action=GetCallerIdentity", refused)]).await;
    report.is_wrong("clock", &["the clock of this machine is 4", "s ahead", "timedatectl"]);
}

/// As HTTP writes a moment; the AWS CLI is no help here.
fn httpdate(at: SystemTime) -> String {
    use time::{OffsetDateTime, format_description::well_known::Rfc2822};
    OffsetDateTime::from(at).format(&Rfc2822).unwrap().replace("+0000", "GMT")
}

#[tokio::test]
async fn a_session_of_sso_that_has_expired_is_explained() {
    let world = World::new().await;
    let report = world
        .on_the_side(|stage| {
            let config = "[profile work]\nsso_session = corp\nsso_account_id = 123456789012\nsso_role_name = dev\n\
                          region = eu-central-1\n[sso-session corp]\nsso_start_url = https://corp.awsapps.com/start\n\
                          sso_region = eu-central-1\nsso_registration_scopes = sso:account:access\n";
            let config = stage.write("aws-config", config);
            let cache = stage.home().join(".aws/sso/cache");
            std::fs::create_dir_all(&cache).unwrap();
            let token = json!({ "startUrl": "https://corp.awsapps.com/start", "region": "eu-central-1",
                "accessToken": "token", "expiresAt": "2020-01-01T00:00:00Z" });
            // The SHA-1 of the session's name.
            std::fs::write(cache.join("ee0bfd2552fbd840c02cc48b6e823320543c450f.json"), token.to_string()).unwrap();
            let url = stage.moto().url();
            let mut command = stage.irp_at(&url, &["--json", "doctor", "--profile", "work"]);
            command.env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY").env("AWS_CONFIG_FILE", config);
            Report::of_run(&mut command)
        })
        .await;
    report.is_wrong("credentials", &["the AWS session has expired", "aws sso login --profile work"]);
    assert_eq!(report.code, Some(4));
}

#[tokio::test]
async fn orders_that_are_left_this_week_are_counted() {
    let world = World::new().await;
    world.prepare().await;
    let report = world.doctor(&[]).await;
    assert!(
        report.of("certificate").1.contains("4 of 4 orders are left this week"),
        "{}",
        report.of("certificate").1
    );
    world
        .on_the_side(|stage| {
            // In milliseconds, a minute ago.
            let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() * 1000 - 60_000;
            let attempt = |id: u64| json!({ "id": id, "names": [NAME], "at": at, "step": "issued" });
            let history = json!({ "attempts": (1..=4).map(attempt).collect::<Vec<_>>() }).to_string();
            let head =
                json!({ "is": "whole", "id": "1", "data": BASE64_STANDARD.encode(history) }).to_string();
            // What irp's edge calls it: the beginning of the SHA-256 of the directory's URL.
            let name = format!("/irp/cert/{NAME}/attempts-5e76d31517ecd664/g0000000001");
            stage.aws(&["ssm", "put-parameter", "--name", &name, "--type", "SecureString", "--value", &head]);
        })
        .await;
    let report = world.doctor(&[]).await;
    report.is_wrong("certificate", &["none can be ordered now", "0 of 4", "wait until", "another HOST_NAME"]);
}

#[tokio::test]
async fn a_plugin_that_is_too_old_is_explained() {
    let world = World::new().await;
    let checks = world
        .on_the_side(|stage| {
            use std::os::unix::fs::PermissionsExt as _;
            let plugin = stage.write("session-manager-plugin", "#!/bin/sh\necho 1.2.463.0\n");
            std::fs::set_permissions(&plugin, std::fs::Permissions::from_mode(0o755)).unwrap();
            let mut command = stage.irp(&["--json", "doctor"]);
            let output = command.env("PATH", stage.home()).output().unwrap();
            out(&output).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
        })
        .await;
    let report = Report { checks, code: Some(3) };
    report.is_wrong("plugin", &["1.2.463.0 is too old", "1.2.764.0"]);
}
