//! The machine: network, image, quota, whether AWS would launch it, and whether one that runs is reached.

use std::{net::IpAddr, time::Duration};

use irp_aws::{
    ec2::{Filter, LaunchData, NetworkInterface, RunInstances, SecurityGroup, State},
    quotas::STANDARD_VCPUS,
};
use irp_launch::{price, setup::PORT, tags};
use tokio::{net::TcpStream, time::timeout};

use super::{Check, Subject};
use crate::cloud::{account::explain, setup::look};

/// How long a machine may take to answer.
const REACHED_WITHIN: Duration = Duration::from_secs(5);

/// The smallest machines have two.
const VCPUS_NEEDED: u32 = 2;

/// Those whose names begin alike, and which have quotas of their own.
const OTHERS: [&str; 4] = ["inf", "mac", "trn", "hpc"];

/// What the names of machines begin with that count against the quota (EC2 User Guide, "On-Demand Instance quotas").
const STANDARD_FAMILIES: &[char] = &['a', 'c', 'd', 'h', 'i', 'm', 'r', 't', 'z'];

/// The network that machines would be in, and whether visitors find a way into it.
pub(super) async fn network(subject: &Subject<'_>) -> (Check, Option<String>) {
    const CHECK: &str = "network";
    let ec2 = subject.account.aws.ec2();
    let vpc_id = match subject.subnet {
        Some(subnet) => match ec2.subnets(&[Filter::new("subnet-id", [subnet])]).await {
            Ok(found) => found.into_iter().next().map(|subnet| subnet.vpc_id),
            Err(error) => return (Check::failed(CHECK, &explain(&error)), None),
        },
        None => match ec2.vpcs(&[Filter::new("is-default", ["true"])]).await {
            Ok(found) => found.into_iter().next().map(|vpc| vpc.id),
            Err(error) => return (Check::failed(CHECK, &explain(&error)), None),
        },
    };
    let Some(vpc_id) = vpc_id else {
        let region = subject.account.aws.region();
        let check = match subject.subnet {
            Some(subnet) => Check::bad(CHECK, format!("there is no subnet {subnet} in {region}")),
            None => Check::bad(CHECK, format!("there is no default VPC in {region}"))
                .mend("aws ec2 create-default-vpc")
                .mend("or name a subnet: --subnet subnet-…"),
        };
        return (check, None);
    };
    let tables = match ec2.route_tables(&[Filter::new("vpc-id", [&vpc_id])]).await {
        Ok(tables) => tables,
        Err(error) => return (Check::unseen(CHECK, &error), Some(vpc_id)),
    };
    let names_subnet = |table: &&irp_aws::ec2::RouteTable| {
        table
            .associations
            .iter()
            .any(|it| it.subnet_id.is_some() && it.subnet_id.as_deref() == subject.subnet)
    };
    let is_main = |table: &&irp_aws::ec2::RouteTable| table.associations.iter().any(|it| it.main);
    let table = tables.iter().find(names_subnet).or_else(|| tables.iter().find(is_main));
    let place = subject.subnet.map_or_else(|| vpc_id.clone(), |subnet| format!("{subnet} in {vpc_id}"));
    let check = match table {
        Some(table) if table.is_public() => Check::good(CHECK, format!("{place}, with a way to the Internet")),
        Some(table) => Check::bad(
            CHECK,
            format!("{place} has no way to the Internet: {} has no route 0.0.0.0/0 by an Internet gateway", table.id),
        )
        .mend("name a public subnet: --subnet subnet-…")
        .mend(format!("or add the route: aws ec2 create-route --route-table-id {} --destination-cidr-block 0.0.0.0/0 --gateway-id igw-…", table.id)),
        None => Check::unknown(CHECK, format!("{place} shows no route table")),
    };
    (check, Some(vpc_id))
}

/// irp's security group there.
pub(super) async fn group(subject: &Subject<'_>, vpc_id: &str) -> Check {
    const CHECK: &str = "group";
    match look::group(subject.account, vpc_id).await {
        Ok(Some(group)) => judge(CHECK, &group),
        Ok(None) => Check::unknown(CHECK, format!("{} is not there yet in {vpc_id}", tags::GROUP_NAME))
            .mend("irp setup makes it"),
        Err(failure) => Check::failed(CHECK, &failure),
    }
}

fn judge(check: &'static str, group: &SecurityGroup) -> Check {
    if group.ingress.iter().any(|rule| rule.opens(PORT)) {
        return Check::good(check, format!("{} lets visitors in at {PORT}", group.id));
    }
    Check::bad(check, format!("{PORT} is closed: no rule of {} lets visitors in", group.id))
        .mend("irp setup")
        .mend(format!(
            "or: aws ec2 authorize-security-group-ingress --group-id {} --protocol tcp --port {PORT} --cidr 0.0.0.0/0",
            group.id
        ))
}

/// The image, and its id.
pub(super) async fn image(subject: &Subject<'_>) -> (Check, Option<String>) {
    const CHECK: &str = "image";
    let arch = subject
        .settings
        .instance_type
        .as_ref()
        .map_or(irp_launch::values::Arch::Aarch64, |it| it.value.arch());
    let Some(parameter) = subject.image.parameter(arch) else {
        let id = subject.image.to_string();
        return match subject.account.aws.ec2().images(&[&id]).await {
            Ok(images) if !images.is_empty() => (Check::good(CHECK, id.clone()), Some(id)),
            Ok(_) => (
                Check::bad(CHECK, format!("there is no image {id} here")).mend("choose another with --image"),
                None,
            ),
            Err(error) => (Check::failed(CHECK, &explain(&error)), None),
        };
    };
    match subject.account.aws.ssm().parameter(&parameter).await {
        Ok(Some(found)) => {
            let id = secrecy::ExposeSecret::expose_secret(&found.value).to_owned();
            (Check::good(CHECK, format!("{} for {arch} is {id}", subject.image)), Some(id))
        }
        Ok(None) => {
            let text = format!("AWS names no image {} for {arch} here", subject.image);
            (Check::bad(CHECK, text).mend("choose another with --image"), None)
        }
        Err(error) => (Check::failed(CHECK, &explain(&error)), None),
    }
}

/// Whether AWS would launch the machine: it checks everything but capacity and quota, and makes nothing.
pub(super) async fn trial(subject: &Subject<'_>, image: &str, zone_id: &str) -> Check {
    const CHECK: &str = "launch";
    let kind = subject.settings.instance_type.as_ref().map_or(price::DEFAULT_TYPE, |it| it.value.as_str());
    let owner = &subject.account.caller_arn;
    let of = tags::Circumstances { owner, zone_id, user: subject.image.user() };
    let order = RunInstances {
        client_token: "irp-doctor".into(),
        launch_template: None,
        data: LaunchData {
            image_id: Some(image.to_owned()),
            instance_type: Some(kind.to_owned()),
            network: subject.subnet.map(|subnet| NetworkInterface {
                subnet_id: Some(subnet.to_owned()),
                public_address: Some(true),
                ..NetworkInterface::default()
            }),
            terminate_on_shutdown: true,
            strict_metadata: true,
            tags: tags::of_machine(subject.settings, of),
            ..LaunchData::default()
        },
    };
    match subject.account.aws.ec2().may_run_instance(&order).await {
        Ok(()) => Check::good(CHECK, format!("AWS would launch a {kind} for you")),
        Err(error) => Check::failed(CHECK, &explain(&error)),
    }
}

/// Whether the account may have one more machine: what it may have is compared with what runs.
pub(super) async fn quota(subject: &Subject<'_>) -> Check {
    const CHECK: &str = "quota";
    let quota = match subject.account.aws.quotas().get(STANDARD_VCPUS).await {
        Ok(quota) => quota.value,
        Err(error) => return Check::unseen(CHECK, &error),
    };
    let kind = subject.settings.instance_type.as_ref().map_or(price::DEFAULT_TYPE, |it| it.value.as_str());
    let (in_use, needed) = match vcpus(subject, kind).await {
        Ok(counted) => counted,
        Err(error) => {
            tracing::debug!(%error, "what runs is not seen");
            (0, VCPUS_NEEDED)
        }
    };
    spare(quota, in_use, needed, kind)
}

fn spare(quota: f64, in_use: u32, needed: u32, kind: &str) -> Check {
    const CHECK: &str = "quota";
    let told = format!("{quota} vCPUs in machines of this kind, {in_use} in use");
    if f64::from(in_use + needed) <= quota {
        return Check::good(CHECK, told);
    }
    let (service, code) = STANDARD_VCPUS;
    Check::bad(CHECK, format!("the account may have {told}, and a {kind} has {needed}"))
        .mend(format!(
            "aws service-quotas request-service-quota-increase --service-code {service} --quota-code {code} --desired-value {}",
            in_use + 8
        ))
        .mend("or end a machine that you do not need: irp ls shows those of irp")
}

/// The vCPUs of what runs and counts against the quota, and those of one more machine.
async fn vcpus(subject: &Subject<'_>, kind: &str) -> Result<(u32, u32), irp_aws::Error> {
    let ec2 = subject.account.aws.ec2();
    let running = Filter::new("instance-state-name", ["pending", "running"]);
    let machines = ec2.instances_where(&[running]).await?;
    let counted: Vec<&str> = machines
        .iter()
        .filter(|machine| !machine.spot)
        .map(|machine| machine.instance_type.as_str())
        .filter(|name| {
            name.starts_with(STANDARD_FAMILIES) && !OTHERS.iter().any(|other| name.starts_with(other))
        })
        .collect();
    let mut names: Vec<&str> = counted.iter().copied().chain([kind]).collect();
    names.sort_unstable();
    names.dedup();
    let types = ec2.instance_types(&names).await?;
    let of = |name: &str| types.iter().find(|it| it.name == name).map_or(VCPUS_NEEDED, |it| it.vcpus);
    Ok((counted.into_iter().map(of).sum(), of(kind)))
}

/// The machines of this name that run: does their group let visitors in, and is their port reached from here.
pub(super) async fn machines(subject: &Subject<'_>) -> Vec<Check> {
    const CHECK: &str = "machine";
    let name = subject.settings.name.as_str();
    let ec2 = subject.account.aws.ec2();
    let filter = [Filter::new(format!("tag:{}", tags::NAME), [name])];
    let machines = match ec2.instances_where(&filter).await {
        Ok(machines) => machines,
        Err(error) => return vec![Check::unseen(CHECK, &error)],
    };
    let mut checks = Vec::new();
    for machine in machines.iter().filter(|machine| machine.state == State::Running) {
        let Some(address) = machine.public_ip else {
            let text = format!("{} runs, and has no public address", machine.id);
            checks.push(Check::bad(CHECK, text).mend("was its subnet a public one?"));
            continue;
        };
        let groups = match machine.security_groups.as_slice() {
            [] => Vec::new(),
            ids => ec2.security_groups(&[Filter::new("group-id", ids)]).await.unwrap_or_default(),
        };
        let is_open = groups.iter().any(|group| group.ingress.iter().any(|rule| rule.opens(PORT)));
        checks.push(match (is_open, groups.first()) {
            (false, Some(group)) => judge(CHECK, group),
            _ => reached(CHECK, &machine.id, address.into()).await,
        });
    }
    if checks.is_empty() {
        checks.push(Check::unknown(CHECK, format!("none runs for {name}: port {PORT} cannot be tried")));
    }
    checks
}

async fn reached(check: &'static str, id: &str, address: IpAddr) -> Check {
    let why = match timeout(REACHED_WITHIN, TcpStream::connect((address, PORT))).await {
        Ok(Ok(_)) => return Check::good(check, format!("{id} answers at {address}, port {PORT}")),
        Ok(Err(error)) => error.to_string(),
        Err(_) => "no answer in 5 s".to_owned(),
    };
    Check::bad(check, format!("{id} does not answer at {address}, port {PORT}: {why}"))
        .mend("is it still starting? aws ec2 get-console-output --latest --instance-id … tells")
        .mend("a firewall between here and there may close the port: try another network")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_counts_together_with_what_runs() {
        assert_eq!(spare(5.0, 2, 2, "t4g.nano").ok, Some(true));
        let used = spare(5.0, 4, 2, "t4g.nano");
        assert!(
            used.ok == Some(false) && used.text.contains("5 vCPUs") && used.text.contains("4 in use"),
            "{used:?}"
        );
        assert!(used.mend[0].ends_with("--desired-value 12"), "{used:?}");
        assert_eq!(spare(0.0, 0, 2, "t4g.nano").ok, Some(false), "a new account");
    }
}
