//! What AWS refused, in sentences for a person: what happened, why, and what to type.

use irp_aws::{Error, Kind as Refusal, Service};

use crate::{
    environment,
    error::{Failure, Kind},
};

/// Explains a failed call. The permission is named where one is missing.
pub(crate) fn explain(error: &Error) -> Failure {
    explain_for(error, None)
}

/// The same for whoever typed `--profile`, which is then part of what to type.
pub(crate) fn explain_for(error: &Error, profile: Option<&str>) -> Failure {
    let profile = profile.map(str::to_owned).or_else(environment::aws_profile);
    let with_profile = profile.map(|profile| format!(" --profile {profile}")).unwrap_or_default();
    let action = error.action();
    match error.kind() {
        Refusal::Denied => denied(error),
        Refusal::NoCredentials => told("irp has no AWS credentials", error)
            .hint(format!("aws configure sso{with_profile}, then aws sso login{with_profile}"))
            .hint("or set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"),
        Refusal::ExpiredCredentials => told("the AWS session has expired", error)
            .hint(format!("aws sso login{with_profile}"))
            .hint("or, without SSO, fetch new temporary credentials as you did before"),
        Refusal::BadCredentials => told("AWS does not accept these credentials", error)
            .hint(format!("aws sts get-caller-identity{with_profile}   tells whether the AWS CLI is luckier"))
            .hint("the key may be deleted or inactive, or secret and session token belong to another one"),
        Refusal::ClockSkew { ahead_s } => skewed(error, ahead_s),
        Refusal::Throttled => told(format!("AWS takes no more calls of {action} at the moment"), error)
            .hint("try again in a minute; Route 53 takes five calls a second from a whole account"),
        Refusal::Capacity if error.is("InsufficientFreeAddressesInSubnet") => {
            told("that subnet has no free address", error).hint("name another one: --subnet subnet-…")
        }
        Refusal::Capacity => told("AWS has no free machine of this type here at the moment", error).hint(
            "try another --instance-type, another --subnet (that is another availability zone), or later",
        ),
        Refusal::Quota => quota(error),
        Refusal::NotFound => told(format!("AWS knows nothing of what {action} named"), error),
        Refusal::Exists => told(format!("{action}: it exists already"), error),
        Refusal::InUse => told(format!("{action}: something else still uses it"), error)
            .hint("try again when the machine that uses it is gone"),
        Refusal::Precondition => told(format!("{action}: somebody else was faster"), error).hint("try again"),
        Refusal::Service => told(format!("AWS failed at {action}"), error).hint(
            "try again; https://health.aws.amazon.com/health/status shows whether others have the same",
        ),
        Refusal::Network => unreached(error),
        Refusal::Answer => told(format!("the answer to {action} cannot be read"), error)
            .hint("is AWS_ENDPOINT_URL set to something that is not AWS?"),
        _ => invalid(error),
    }
}

fn told(message: impl Into<String>, error: &Error) -> Failure {
    Failure::new(Kind::Cloud, message).because(error)
}

/// Whose word it is that counts: AWS says so at the end of its message.
fn denied(error: &Error) -> Failure {
    if error.is("AuthFailure.ServiceLinkedRoleCreationNotPermitted") {
        return told("nobody has used spot machines in this account yet, so that EC2's own role for them is missing", error)
            .hint("who may (iam:CreateServiceLinkedRole), once: aws iam create-service-linked-role --aws-service-name spot.amazonaws.com")
            .hint("or leave --spot out");
    }
    let said = error.message();
    let permission = named(said).unwrap_or_else(|| error.action().permission());
    let has = |words: &str| said.contains(words);
    if has("service control policy") || has("resource control policy") {
        return told(format!("your organisation forbids {permission}"), error)
            .hint("no policy of your own changes that: ask those who run the AWS organisation");
    }
    if has("permissions boundary") {
        return told(
            format!("the permissions boundary of your user or role does not allow {permission}"),
            error,
        )
        .hint("ask those who set the boundary");
    }
    let message = if has("explicit deny") {
        format!("a policy denies {permission}")
    } else {
        format!("the permission {permission} is missing")
    };
    told(message, error).hint("irp setup --print policy   shows all that you need, as `user`")
}

/// The action that AWS's message names: a launch needs several, such as `iam:PassRole` and `ec2:CreateTags`.
fn named(said: &str) -> Option<String> {
    let (_, behind) = said.split_once("not authorized to perform: ")?;
    let word = behind.split_whitespace().next()?.trim_end_matches(['.', ',']);
    let (service, operation) = word.split_once(':')?;
    let is_word = |text: &str| {
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    (is_word(service) && is_word(operation)).then(|| word.to_owned())
}

fn skewed(error: &Error, ahead_s: Option<i64>) -> Failure {
    let message = match ahead_s {
        Some(0) | None => "the clock of this machine is wrong".to_owned(),
        Some(ahead) => {
            let direction = if ahead > 0 { "ahead" } else { "behind" };
            format!("the clock of this machine is {} s {direction}", ahead.unsigned_abs())
        }
    };
    told(message, error).hint("set it right: timedatectl set-ntp true, or the settings of your system")
}

fn quota(error: &Error) -> Failure {
    let failure = told("a quota of the account is used up", error);
    if error.action().service != Service::Ec2 {
        return failure;
    }
    if error.is("VcpuLimitExceeded") {
        return failure
            .hint("ask for more: aws service-quotas request-service-quota-increase --service-code ec2 --quota-code L-1216C47A --desired-value 8")
            .hint("or end a machine that you do not need: irp ls shows them, irp down NAME ends one");
    }
    if error.is("MaxSpotInstanceCountExceeded") {
        return failure
            .hint("ask for more: aws service-quotas request-service-quota-increase --service-code ec2 --quota-code L-34B43A08 --desired-value 8")
            .hint("or leave --spot out: other machines have a quota of their own");
    }
    failure
        .hint("the console of AWS shows it, and takes a request for more: Service Quotas")
        .hint("or remove what you do not need any more: irp gc finds what irp has left behind")
}

/// Nobody answered: that is no fault of the account.
fn unreached(error: &Error) -> Failure {
    Failure::new(Kind::Network, "AWS is not reached from here")
        .because(error)
        .hint("is there a way to the Internet? Behind a proxy, set HTTPS_PROXY")
}

fn invalid(error: &Error) -> Failure {
    let failure = told(format!("AWS will not do {}", error.action()), error);
    match error.code() {
        Some("VPCIdNotSpecified" | "MissingInput") => failure
            .hint("this region has no default VPC: name a subnet with --subnet, or make one: aws ec2 create-default-vpc"),
        Some("OptInRequired" | "PendingVerification") => {
            failure.hint("AWS has yet to enable this account: its message tells how")
        }
        Some("Unsupported") => failure.hint("that type is not offered there: try another --instance-type or --subnet"),
        _ => failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_action_that_is_missing_is_the_one_that_aws_names() {
        let said = "You are not authorized to perform this operation. User: arn:aws:iam::123456789012:user/alice is not \
                    authorized to perform: iam:PassRole on resource: arn:aws:iam::123456789012:role/irp-edge-alice because \
                    no identity-based policy allows the iam:PassRole action.";
        assert_eq!(named(said).as_deref(), Some("iam:PassRole"));
        assert_eq!(
            named("x is not authorized to perform: ssm:StartSession.").as_deref(),
            Some("ssm:StartSession")
        );
        for said in [
            "You are not authorized to perform this operation.",
            "not authorized to perform: \u{1b}[1m:x",
            "",
        ] {
            assert_eq!(named(said), None, "{said}");
        }
    }
}
