//! The account that commands work in.

use irp_aws::{Aws, LoadError, Options};

pub(crate) use super::explain::explain;
use super::explain::explain_for;
use crate::{
    cli::aws::Access,
    error::{Failure, Kind},
    ui::Ui,
};

/// An AWS account that answers, in one region.
#[derive(Clone, Debug)]
pub(crate) struct Account {
    /// The way to its services.
    pub(crate) aws: Aws,
    /// Its number, 12 digits.
    pub(crate) id: String,
    /// Whose credentials are in use: the ARN of a user or of an assumed role.
    pub(crate) caller_arn: String,
}

/// Finds region and credentials, and asks AWS once whose they are: what is wrong with them is told here, and not in the
/// midst of a launch.
///
/// # Errors
///
/// Of kind [`Kind::Cloud`]: there is no region, there are no credentials, or AWS does not take them. Of kind
/// [`Kind::Network`], when AWS is not reached.
pub(crate) async fn open(access: &Access, ui: &Ui) -> Result<Account, Failure> {
    let step = ui.step("account", "asking AWS who we are");
    match find(access).await {
        Ok(account) => {
            step.done(&format!("{}  {}  {}", account.id, account.aws.region(), account.caller_arn));
            Ok(account)
        }
        Err(failure) => {
            step.failed();
            Err(failure)
        }
    }
}

/// The same without a word on the screen.
///
/// # Errors
///
/// As [`open`].
pub(crate) async fn find(access: &Access) -> Result<Account, Failure> {
    let aws = load(access).await?;
    let caller = aws.sts().caller().await;
    let caller = caller.map_err(|error| explain_for(&error, access.profile.as_deref()))?;
    Ok(Account { aws, id: caller.account, caller_arn: caller.arn })
}

/// The way to its services alone, with nothing asked: for what has no time to lose.
///
/// # Errors
///
/// When there is no region.
pub(crate) async fn load(access: &Access) -> Result<Aws, Failure> {
    let options =
        Options { profile: access.profile.clone(), region: access.region.clone(), ..Options::default() };
    Aws::load(options).await.map_err(|error| unloaded(&error))
}

fn unloaded(error: &LoadError) -> Failure {
    let failure = Failure::new(Kind::Cloud, error.to_string());
    match error {
        LoadError::NoRegion => failure.hint("type --region eu-central-1, or set AWS_REGION"),
        LoadError::Region(_) => failure.hint("look for its name with: aws ec2 describe-regions"),
        LoadError::Endpoint { .. } => {
            failure.hint("unset AWS_ENDPOINT_URL, or set it to a URL such as http://127.0.0.1:5000")
        }
    }
}
