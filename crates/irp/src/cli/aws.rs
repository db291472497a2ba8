//! Which AWS account is meant: flags of every command that calls AWS.

use clap::Args;

/// Where credentials and region come from; what is not typed is found as the AWS CLI finds it.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "AWS")]
pub(crate) struct Access {
    /// The profile of AWS's own configuration [default: AWS_PROFILE, else `default`]
    #[arg(long, value_name = "NAME")]
    pub(crate) profile: Option<String>,
    /// The region [default: AWS_REGION, else that of the profile]
    #[arg(long, value_name = "REGION")]
    pub(crate) region: Option<String>,
}
