//! The role of the machine: is it there, is it for this name, may it do what the machine does.

use irp_aws::iam::{Decision, Evaluation, Simulation};
use irp_launch::policy::{Edge, Place};

use super::{Check, Subject};
use crate::cloud::{
    setup::{self, look},
    zone::Zone,
};

const CHECK: &str = "role";

/// What mends all of it.
const SETUP: &str = "irp setup";

pub(super) async fn role(subject: &Subject<'_>, zone: &Zone) -> Vec<Check> {
    let edge = Edge::of(subject.settings);
    let name = match edge.role_name() {
        Ok(Some(name)) => name,
        Ok(None) => {
            return vec![Check::unknown(CHECK, "none is wanted: the PC that launches sets the name")];
        }
        Err(error) => return vec![Check::bad(CHECK, error.to_string()).mend("choose a shorter HOST_NAME")],
    };
    let found = match look::role_named(subject.account, &name).await {
        Ok(Some(found)) => found,
        Ok(None) => return vec![Check::bad(CHECK, format!("there is no role {name}")).mend(SETUP)],
        Err(failure) => return vec![Check::failed(CHECK, &failure)],
    };
    let wanted = subject.settings.name.as_str();
    if found.is_for.as_deref() != Some(wanted) {
        let of = found.is_for.as_deref().unwrap_or("somebody who is not irp");
        return vec![
            Check::bad(CHECK, format!("the role {name} is for {of}, not for {wanted}"))
                .mend("choose another HOST_NAME, or remove that role"),
        ];
    }
    let mut checks = vec![profile(subject, &name).await];
    let place = setup::place(subject.account, zone);
    let is_as_wanted = found.policy.as_ref() == Some(&edge.policy(&place).json());
    checks.push(policy(subject, &edge, &place, &name, is_as_wanted).await);
    checks
}

async fn profile(subject: &Subject<'_>, name: &str) -> Check {
    match subject.account.aws.iam().instance_profile(name).await {
        Ok(Some(profile)) if profile.roles.iter().any(|role| role.name == name) => {
            Check::good(CHECK, format!("{name}, with its instance profile"))
        }
        Ok(_) => Check::bad(CHECK, format!("no instance profile gives machines the role {name}")).mend(SETUP),
        Err(error) => Check::unseen(CHECK, &error),
    }
}

/// What the policy document says, and where one may ask, what IAM itself says: boundaries and organisations count too.
async fn policy(subject: &Subject<'_>, edge: &Edge, place: &Place, role: &str, is_as_wanted: bool) -> Check {
    const CHECK: &str = "policy";
    let arn = format!("arn:{}:iam::{}:role/{role}", place.partition, place.account);
    let mut denied = Vec::new();
    let mut is_asked = true;
    for (what, question) in questions(edge, place, &arn) {
        match subject.account.aws.iam().simulate(&question).await {
            Ok(said) => denied.extend(said.into_iter().filter(is_denied).map(|said| (what.clone(), said))),
            Err(error) => {
                tracing::debug!(%error, "IAM does not tell what the role may do");
                is_asked = false;
                break;
            }
        }
    }
    let by_organisation = denied.iter().find(|(_, said)| said.allowed_by_organisation == Some(false));
    if let Some((what, said)) = by_organisation {
        return Check::bad(CHECK, format!("your organisation forbids {} ({what})", said.action))
            .mend("ask those who run the AWS organisation: no policy of your own changes that");
    }
    if let Some((what, said)) = denied.first() {
        let check = Check::bad(CHECK, format!("{role} may not do {} ({what})", said.action));
        return match (said.decision, is_as_wanted) {
            (Decision::ExplicitDeny, _) => {
                check.mend("something denies it: look at its permissions boundary")
            }
            (_, true) => check.mend("its policy is right: look at its permissions boundary"),
            (_, false) => check.mend(SETUP),
        };
    }
    match (is_as_wanted, is_asked) {
        (true, true) => Check::good(CHECK, format!("{role} may do what the machine does")),
        (true, false) => Check::good(CHECK, format!("{role} has the policy that irp wants")),
        (false, true) => Check::good(CHECK, format!("{role} may do what the machine does; its policy is not irp's own")),
        (false, false) => Check::bad(
            CHECK,
            format!("the policy of {role} is not the one for {}: its name, its certificate or its records may be refused", edge.name),
        )
        .mend(SETUP),
    }
}

fn is_denied(said: &Evaluation) -> bool {
    said.decision != Decision::Allowed
}

/// What the machine does, each with its condition keys.
fn questions(edge: &Edge, place: &Place, role: &str) -> Vec<(String, Simulation)> {
    let zone = format!("arn:{}:route53:::hostedzone/{}", place.partition, place.zone_id);
    let change = |name: &str, kind: &str| Simulation {
        principal: role.to_owned(),
        actions: vec!["route53:ChangeResourceRecordSets".into()],
        resources: vec![zone.clone()],
        context: [("NormalizedRecordNames", name), ("RecordTypes", kind), ("Actions", "UPSERT")]
            .map(|(key, value)| (format!("route53:ChangeResourceRecordSets{key}"), vec![value.to_owned()]))
            .into(),
    };
    let mut questions = vec![(format!("A of {}", edge.name), change(edge.name.as_str(), "A"))];
    if edge.is_caddy {
        return questions;
    }
    let challenge = format!("_acme-challenge.{}", edge.name);
    questions.push((format!("TXT of {challenge}"), change(&challenge, "TXT")));
    if edge.store == irp_launch::values::CertStore::Ssm {
        let path = format!("parameter/irp/cert/{}/identity", edge.name);
        let parameter = format!("arn:{}:ssm:{}:{}:{path}", place.partition, place.region, place.account);
        let question = Simulation {
            principal: role.to_owned(),
            actions: vec!["ssm:PutParameter".into(), "ssm:GetParametersByPath".into()],
            resources: vec![parameter],
            context: Vec::new(),
        };
        questions.push((format!("/irp/cert/{}", edge.name), question));
    }
    questions
}
