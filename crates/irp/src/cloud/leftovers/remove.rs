//! Taking away what is left.

use irp_aws::{
    Error, Kind as Refusal,
    route53::Change,
    s3::{Bucket, When},
};

use super::What;
use crate::{
    cloud::{
        account::{Account, explain},
        record::Records,
    },
    error::{Failure, Kind},
};

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It is gone, or mended.
    Done,
    /// It is not what it was a moment ago, and stays.
    Changed,
    /// Something uses it, so it stays.
    InUse,
}

/// Takes one thing away.
///
/// # Errors
///
/// When AWS refuses or is not reached.
pub(crate) async fn remove(account: &Account, what: &What) -> Result<Outcome, Failure> {
    let (ec2, failed) = (account.aws.ec2(), |error: Error| explain(&error));
    match what {
        What::Machine { id, .. } => ec2.terminate(&[id]).await.map(|_| Outcome::Done).map_err(failed),
        What::ShutdownBehaviour { id, .. } => {
            ec2.terminate_on_shutdown(id).await.map(|()| Outcome::Done).map_err(failed)
        }
        What::Record { zone_id, name, value } => {
            let gone = Records::of(account, zone_id, name).withdraw(&[*value]).await?;
            Ok(if gone.is_empty() { Outcome::Changed } else { Outcome::Done })
        }
        What::Challenge { zone_id, name } => challenge(account, zone_id, name).await.map_err(failed),
        What::Group { id } => match ec2.delete_security_group(id).await {
            Ok(()) => Ok(Outcome::Done),
            Err(error) if error.kind() == Refusal::InUse => Ok(Outcome::InUse),
            Err(error) => Err(explain(&error)),
        },
        What::Object { bucket, key } => {
            let bucket: Bucket =
                bucket.parse().map_err(|error| Failure::new(Kind::Internal, "no bucket").because(&error))?;
            let deleted = account.aws.s3().delete_object(&bucket, key, &When::Always).await;
            deleted.map(|()| Outcome::Done).map_err(failed)
        }
    }
}

async fn challenge(account: &Account, zone_id: &str, name: &str) -> Result<Outcome, Error> {
    let route53 = account.aws.route53();
    let Some(set) = route53.record_set(zone_id, name, "TXT").await? else { return Ok(Outcome::Changed) };
    match route53.change(zone_id, &[Change::Delete(set)]).await {
        Ok(_) => Ok(Outcome::Done),
        Err(error) if error.is("InvalidChangeBatch") => Ok(Outcome::Changed),
        Err(error) => Err(error),
    }
}
