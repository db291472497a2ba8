//! What IAM would be asked for a request to AWS: its actions, each with its resource and the keys that policies look at
//! (Service Authorization Reference).

use std::collections::BTreeMap;

use http::Method;
use irp_testkit::{iam::Call, moto::REGION, scripted::Asked};
use serde_json::Value;

const ACCOUNT: &str = "123456789012";

/// The tags of what there is, by its id.
pub(crate) type Tags = BTreeMap<String, Vec<(String, String)>>;

/// All that has to be allowed for this request.
#[track_caller]
pub(crate) fn calls(asked: &Asked, tags: &Tags) -> Vec<Call> {
    let target = asked.headers.get("x-amz-target").map(|target| target.to_str().unwrap().to_owned());
    let path = asked.path.split('?').next().unwrap();
    match target {
        Some(target) => {
            let (service, operation) = target.split_once('.').unwrap();
            by_json(service, operation, &serde_json::from_str(&asked.body).unwrap(), tags)
        }
        None if asked.body.contains("Action=") && path == "/" => by_form(&Form::read(&asked.body), tags),
        None => match path.strip_prefix("/2013-04-01/") {
            Some(path) => vec![route53(&asked.method, path, &asked.body)],
            None => s3(&asked.method, &asked.path),
        },
    }
}

fn arn(service: &str, resource: &str) -> String {
    format!("arn:aws:{service}:{REGION}:{ACCOUNT}:{resource}")
}

/// A call to something that there is, with its tags.
fn tagged(action: &str, resource: &str, tags: &Tags) -> Call {
    let id = resource.rsplit('/').next().unwrap();
    let own = tags.get(id).map(Vec::as_slice).unwrap_or_default();
    own.iter().fold(Call::new(action, &arn("ec2", resource)), |call, (key, value)| {
        call.with(&format!("aws:ResourceTag/{key}"), &[value])
    })
}

fn by_json(service: &str, operation: &str, input: &Value, tags: &Tags) -> Vec<Call> {
    let text = |key: &str| input[key].as_str().unwrap_or_default();
    let parameter = |name: &str| {
        let account = if name.starts_with("/aws/service/") { "" } else { ACCOUNT };
        format!("arn:aws:ssm:{REGION}:{account}:parameter{name}")
    };
    let ssm = |resource: String| vec![Call::new(&format!("ssm:{operation}"), &resource)];
    match (service, operation) {
        ("AmazonSSM", "GetParameter" | "PutParameter") => ssm(parameter(text("Name"))),
        ("AmazonSSM", "GetParametersByPath") => ssm(parameter(text("Path"))),
        ("AmazonSSM", "GetParameters" | "DeleteParameters") => {
            let names = input["Names"].as_array().unwrap().iter();
            names.flat_map(|name| ssm(parameter(name.as_str().unwrap()))).collect()
        }
        ("AmazonSSM", "StartSession") => {
            let document = format!("arn:aws:ssm:{REGION}::document/{}", text("DocumentName"));
            let machine = tagged("ssm:StartSession", &format!("instance/{}", text("Target")), tags);
            vec![machine, Call::new("ssm:StartSession", &document)]
        }
        ("AmazonSSM", "TerminateSession") => ssm(arn("ssm", &format!("session/{}", text("SessionId")))),
        ("AmazonSSM", "DescribeInstanceInformation") => ssm("*".into()),
        ("ServiceQuotasV20190624", "GetServiceQuota") => {
            vec![Call::new("servicequotas:GetServiceQuota", "*")]
        }
        ("AWSEC2InstanceConnectService", "SendSSHPublicKey") => {
            let machine = format!("instance/{}", text("InstanceId"));
            vec![tagged("ec2-instance-connect:SendSSHPublicKey", &machine, tags)]
        }
        other => panic!("nobody has said what {other:?} needs"),
    }
}

fn by_form(form: &Form, tags: &Tags) -> Vec<Call> {
    let operation = form.text("Action");
    match form.text("Version") {
        "2016-11-15" => ec2(operation, form, tags),
        "2010-05-08" => iam(operation, form),
        "2011-06-15" => vec![Call::new(&format!("sts:{operation}"), "*")],
        other => panic!("a service of version {other}"),
    }
}

fn ec2(operation: &str, form: &Form, tags: &Tags) -> Vec<Call> {
    let action = format!("ec2:{operation}");
    let on = |resource: String| tagged(&action, &resource, tags);
    match operation {
        "RunInstances" => run_instances(form),
        "TerminateInstances" => {
            let ids = form.values("InstanceId");
            assert!(!ids.is_empty());
            ids.into_iter().map(|id| on(format!("instance/{id}"))).collect()
        }
        "ModifyInstanceAttribute" => {
            // Only attributes that are said as objects with a value have a key of their own.
            let said = form.0.iter().filter_map(|(key, value)| Some((key.strip_suffix(".Value")?, value)));
            let call = on(format!("instance/{}", form.text("InstanceId")));
            vec![said.fold(call, |call, (name, value)| call.with(&format!("ec2:Attribute/{name}"), &[value]))]
        }
        "AssociateAddress" => vec![
            on(format!("instance/{}", form.text("InstanceId"))),
            on(format!("elastic-ip/{}", form.text("AllocationId"))),
        ],
        "DeleteSecurityGroup" | "AuthorizeSecurityGroupIngress" => {
            vec![on(format!("security-group/{}", form.text("GroupId")))]
        }
        "CreateSecurityGroup" | "CreateLaunchTemplate" => {
            let kind =
                if operation == "CreateSecurityGroup" { "security-group/new" } else { "launch-template/new" };
            let tags = Call::new("ec2:CreateTags", &arn("ec2", kind)).with("ec2:CreateAction", &[operation]);
            vec![Call::new(&action, &arn("ec2", kind)), tags]
        }
        "CreateLaunchTemplateVersion" | "ModifyLaunchTemplate" | "DeleteLaunchTemplate" => {
            vec![Call::new(&action, &arn("ec2", "launch-template/lt-1"))]
        }
        _ if operation.starts_with("Describe") || operation.starts_with("Get") => {
            vec![Call::new(&action, "*")]
        }
        other => panic!("nobody has said what {other} needs"),
    }
}

/// One call for each kind of thing that a machine is made of.
fn run_instances(form: &Form) -> Vec<Call> {
    let mut wanted: BTreeMap<&str, Vec<(&str, &str)>> = BTreeMap::new();
    for number in 1.. {
        let at = |rest: &str| form.get(&format!("TagSpecification.{number}.{rest}"));
        let Some(kind) = at("ResourceType") else { break };
        let tag = |tag: usize| Some((at(&format!("Tag.{tag}.Key"))?, at(&format!("Tag.{tag}.Value"))?));
        wanted.insert(kind, (1..).map_while(tag).collect());
    }
    let mut kinds = vec!["instance", "volume", "network-interface", "subnet", "security-group"];
    kinds.extend(form.get("LaunchTemplate.LaunchTemplateName").map(|_| "launch-template"));
    kinds.extend(form.get("InstanceMarketOptions.MarketType").map(|_| "spot-instances-request"));
    let mut calls = vec![Call::new("ec2:RunInstances", &format!("arn:aws:ec2:{REGION}::image/ami-1"))];
    for kind in kinds {
        let call = Call::new("ec2:RunInstances", &arn("ec2", &format!("{kind}/new")));
        let of_kind = wanted.get(kind).map(Vec::as_slice).unwrap_or_default();
        calls.push(
            of_kind
                .iter()
                .fold(call, |call, (key, value)| call.with(&format!("aws:RequestTag/{key}"), &[value])),
        );
    }
    for kind in wanted.keys() {
        let tags = Call::new("ec2:CreateTags", &arn("ec2", &format!("{kind}/new")));
        calls.push(tags.with("ec2:CreateAction", &["RunInstances"]));
    }
    calls.extend(form.get("IamInstanceProfile.Name").map(pass_role));
    calls
}

fn pass_role(name: &str) -> Call {
    Call::new("iam:PassRole", &format!("arn:aws:iam::{ACCOUNT}:role/{name}"))
        .with("iam:PassedToService", &["ec2.amazonaws.com"])
}

fn iam(operation: &str, form: &Form) -> Vec<Call> {
    let of = |kind: &str, name: &str| format!("arn:aws:iam::{ACCOUNT}:{kind}/{name}");
    let (role, profile) = (form.get("RoleName"), form.get("InstanceProfileName"));
    let resource = match (profile, role, form.get("PolicySourceArn")) {
        (Some(profile), _, _) => of("instance-profile", profile),
        (None, Some(role), _) => of("role", role),
        (None, None, Some(arn)) => arn.to_owned(),
        (None, None, None) => panic!("{operation} names nothing"),
    };
    let mut calls = vec![Call::new(&format!("iam:{operation}"), &resource)];
    let has_tags = form.get("Tags.member.1.Key").is_some();
    match operation {
        "CreateRole" if has_tags => calls.push(Call::new("iam:TagRole", &resource)),
        "CreateInstanceProfile" if has_tags => calls.push(Call::new("iam:TagInstanceProfile", &resource)),
        "AddRoleToInstanceProfile" => calls.push(pass_role(role.unwrap())),
        _ => {}
    }
    calls
}

fn route53(method: &Method, path: &str, body: &str) -> Call {
    let words: Vec<&str> = path.split(['/', '?']).filter(|word| !word.is_empty()).collect();
    let zone = |id: &str| format!("arn:aws:route53:::hostedzone/{id}");
    let is_read = *method == Method::GET;
    match words[..] {
        ["hostedzonesbyname", ..] => Call::new("route53:ListHostedZonesByName", "*"),
        ["hostedzone"] if !is_read => Call::new("route53:CreateHostedZone", "*"),
        ["hostedzone", id] if is_read => Call::new("route53:GetHostedZone", &zone(id)),
        ["hostedzone", id, "rrset"] if is_read => Call::new("route53:ListResourceRecordSets", &zone(id)),
        ["hostedzone", id, "rrset"] => {
            let all = |tag: &str| -> Vec<&str> {
                let mark = format!("<{tag}>");
                let values = body.split(&mark).skip(1);
                values.map(|value| value.split('<').next().unwrap().trim_end_matches('.')).collect()
            };
            let key = |key: &str| format!("route53:ChangeResourceRecordSets{key}");
            Call::new("route53:ChangeResourceRecordSets", &zone(id))
                .with(&key("NormalizedRecordNames"), &all("Name"))
                .with(&key("RecordTypes"), &all("Type"))
                .with(&key("Actions"), &all("Action"))
        }
        ["change", id] => Call::new("route53:GetChange", &format!("arn:aws:route53:::change/{id}")),
        _ => panic!("nobody has said what {method} {path} needs"),
    }
}

fn s3(method: &Method, path: &str) -> Vec<Call> {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let (bucket, key) = path[1..].split_once('/').unwrap_or((&path[1..], ""));
    let arn = format!("arn:aws:s3:::{bucket}");
    let of_bucket = |action: &str| vec![Call::new(&format!("s3:{action}"), &arn)];
    if !key.is_empty() {
        let action = match *method {
            Method::GET | Method::HEAD => "s3:GetObject",
            Method::PUT => "s3:PutObject",
            Method::DELETE => "s3:DeleteObject",
            _ => panic!("{method} {path}"),
        };
        let mut calls = vec![Call::new(action, &format!("{arn}/{key}"))];
        if *method == Method::HEAD {
            // Whoever may not list is told that a missing object is forbidden.
            calls.extend(of_bucket("ListBucket"));
        }
        return calls;
    }
    let verb = if *method == Method::PUT { "Put" } else { "Get" };
    for (word, noun) in [
        ("publicAccessBlock", "BucketPublicAccessBlock"),
        ("encryption", "EncryptionConfiguration"),
        ("lifecycle", "LifecycleConfiguration"),
    ] {
        if query.contains(word) {
            return of_bucket(&format!("{verb}{noun}"));
        }
    }
    match *method {
        Method::GET if query.contains("list-type=2") => {
            let form = Form::read(query);
            vec![
                Call::new("s3:ListBucket", &arn).with("s3:prefix", &[form.get("prefix").unwrap_or_default()]),
            ]
        }
        Method::HEAD => of_bucket("ListBucket"),
        Method::PUT => of_bucket("CreateBucket"),
        Method::DELETE => of_bucket("DeleteBucket"),
        _ => panic!("nobody has said what {method} {path}?{query} needs"),
    }
}

/// Keys and values as forms and queries have them.
struct Form(BTreeMap<String, String>);

impl Form {
    fn read(text: &str) -> Self {
        let pairs = text.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        Self(pairs.map(|(key, value)| (decoded(key), decoded(value))).collect())
    }

    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    #[track_caller]
    fn text(&self, key: &str) -> &str {
        self.get(key).unwrap_or_else(|| panic!("no {key} in {:?}", self.0))
    }

    /// Those of a list, or the only one.
    fn values(&self, key: &str) -> Vec<&str> {
        let own = self.0.iter().filter(|(name, _)| {
            name.strip_prefix(key).is_some_and(|rest| {
                rest.is_empty() || rest.strip_prefix('.').is_some_and(|rest| rest.parse::<u32>().is_ok())
            })
        });
        own.map(|(_, value)| value.as_str()).collect()
    }
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, behind @ ..] = rest {
        rest = behind;
        match (first, behind) {
            (b'%', [high, low, behind @ ..]) => {
                let hex = [*high, *low];
                bytes.push(u8::from_str_radix(std::str::from_utf8(&hex).unwrap(), 16).unwrap());
                rest = behind;
            }
            (b'+', _) => bytes.push(b' '),
            _ => bytes.push(*first),
        }
    }
    String::from_utf8(bytes).unwrap()
}
