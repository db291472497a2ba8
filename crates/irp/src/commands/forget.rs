//! `irp forget NAME`.

use std::{process::ExitCode, sync::Arc, time::UNIX_EPOCH};

use irp_aws::{
    ec2::State,
    s3::{Bucket, When},
};
use irp_edge::certs::{
    Store, SystemClock,
    http::DirectoryClient,
    revoke::{RevokeError, revoke_all},
};
use irp_launch::{policy, tags, values::CertStore};
use irp_wire::name::Hostname;
use serde_json::json;

use crate::{
    cli::secret::Forget,
    clock,
    cloud::{
        account::{self, Account, explain},
        machines,
    },
    config::launch,
    environment::Environment,
    error::{Failure, Kind},
    machine,
    ui::Ui,
};

/// Revokes the certificate of a name and deletes what the account keeps of it, once no machine has it any more.
pub(super) async fn run(flags: &Forget, environment: &Environment, ui: &Ui) -> Result<ExitCode, Failure> {
    let name = machines::name(Some(&flags.name), &flags.settings, environment, ui)?;
    let (place, kms_key) = launch::cert_store(&flags.settings, environment, ui)?;
    let is_caddy = launch::is_caddy(&flags.settings, environment, ui)?;
    let account = account::open(&flags.access, ui).await?;
    idle(&account, &name).await?;
    let kept = Kept::find(&account, &name, &place, is_caddy).await?;
    if flags.dry_run {
        kept.show(ui);
        return Ok(ExitCode::SUCCESS);
    }
    if !flags.no_revoke {
        // Also where the store was another one before: what is found there is deleted as well.
        for place in [&CertStore::Ssm, &place].into_iter().take(if place == CertStore::Ssm { 1 } else { 2 }) {
            let store = machine::store_in(&account.aws, place, kms_key.as_ref(), name.as_str())?;
            if let Some(store) = store {
                revoke(flags, store, ui).await?;
            }
        }
    }
    let step = ui.step("forget", "deleting what is kept");
    let (parameters, objects) = match kept.delete(&account).await {
        Ok(deleted) => deleted,
        Err(failure) => {
            step.failed();
            return Err(failure.hint("what was deleted stays so; type it again for the rest"));
        }
    };
    let more = if objects.is_empty() { String::new() } else { format!(", {} objects", objects.len()) };
    step.done(&format!("{} parameters{more} of {name} deleted", parameters.len()));
    ui.event("forgotten", &json!({ "name": name, "parameters": parameters, "objects": objects }));
    let had_certificate = parameters.iter().any(|it| it.starts_with("/irp/cert/"))
        || objects.iter().any(|it| !it.starts_with(&tags::inbox_folder(&name)));
    if (flags.no_revoke || is_caddy) && had_certificate {
        ui.line("its certificate is not revoked: nobody has its key any more, and it ends by itself");
    }
    Ok(ExitCode::SUCCESS)
}

/// What the account keeps of a name.
struct Kept {
    parameters: Vec<String>,
    /// What is in the bucket of the settings, and in that of `irp setup`.
    objects: Vec<(Bucket, String)>,
}

impl Kept {
    async fn find(
        account: &Account,
        name: &Hostname,
        place: &CertStore,
        is_caddy: bool,
    ) -> Result<Self, Failure> {
        let host = name.as_str().split('.').next().unwrap_or_default();
        let ssm = account.aws.ssm();
        let mut parameters = Vec::new();
        for folder in [format!("/irp/cert/{name}"), format!("/irp/secret/{host}"), tags::inbox_keys(name)] {
            let found = ssm.parameters_below(&folder).await.map_err(|error| explain(&error))?;
            parameters.extend(found.into_iter().map(|parameter| parameter.name));
        }
        let mut objects = Vec::new();
        if let CertStore::S3 { bucket, prefix } = place {
            let folder = policy::folder_in_bucket(name, is_caddy, prefix) + "/";
            objects.extend(below(account, bucket, &folder).await?);
        }
        // Events that nobody has taken; the bucket may never have been made.
        let bucket = tags::bucket(&account.id, account.aws.region());
        match below(account, &bucket, &tags::inbox_folder(name)).await {
            Err(Listing::Refused(error)) if error.is("NoSuchBucket") => {}
            found => objects.extend(found?),
        }
        Ok(Self { parameters, objects })
    }

    fn show(&self, ui: &Ui) {
        for parameter in &self.parameters {
            ui.event("kept", &json!({ "parameter": parameter }));
            ui.line(&format!("would delete  {parameter}"));
        }
        for (bucket, key) in &self.objects {
            ui.event("kept", &json!({ "bucket": bucket.to_string(), "object": key }));
            ui.line(&format!("would delete  s3://{bucket}/{key}"));
        }
    }

    /// Deletes it; the parameters and objects that are gone.
    async fn delete(&self, account: &Account) -> Result<(Vec<String>, Vec<String>), Failure> {
        let failed = |error: irp_aws::Error| explain(&error);
        let parameters = account.aws.ssm().delete_parameters(&self.parameters).await.map_err(failed)?;
        let mut objects = Vec::new();
        for (bucket, key) in &self.objects {
            account.aws.s3().delete_object(bucket, key, &When::Always).await.map_err(failed)?;
            objects.push(key.clone());
        }
        Ok((parameters, objects))
    }
}

/// Why the objects of a bucket are not known.
enum Listing {
    Named(Failure),
    Refused(irp_aws::Error),
}

impl From<Listing> for Failure {
    fn from(listing: Listing) -> Self {
        match listing {
            Listing::Named(failure) => failure,
            Listing::Refused(error) => explain(&error),
        }
    }
}

/// What is in a folder of a bucket.
async fn below(account: &Account, bucket: &str, folder: &str) -> Result<Vec<(Bucket, String)>, Listing> {
    let bucket: Bucket = bucket.parse().map_err(|error| {
        Listing::Named(Failure::new(Kind::Config, "there can be no such bucket").because(&error))
    })?;
    let found = account.aws.s3().list_objects(&bucket, folder).await.map_err(Listing::Refused)?;
    Ok(found.into_iter().map(|object| (bucket.clone(), object.key)).collect())
}

/// Revokes what is good in a store. What cannot be revoked is not deleted either: the key that could do it would go.
async fn revoke(flags: &Forget, store: Arc<dyn Store>, ui: &Ui) -> Result<(), Failure> {
    let roots = flags.acme_cacert.as_ref().map(std::fs::read_to_string).transpose();
    let roots =
        roots.map_err(|error| Failure::new(Kind::Config, "--acme-cacert cannot be read").because(&error))?;
    let http = DirectoryClient::new(roots.as_deref(), Arc::new(SystemClock)).map_err(|error| {
        Failure::new(Kind::Config, "the certificate authority cannot be called").because(&error)
    })?;
    let step = ui.step("certificate", "revoking it");
    let revoked = match revoke_all(store.as_ref(), &http, clock::now()).await {
        Ok(revoked) => revoked,
        Err(error) => {
            step.failed();
            return Err(unrevoked(&error));
        }
    };
    if revoked.is_empty() {
        drop(step);
        return Ok(());
    }
    let names: Vec<_> = revoked.iter().map(|certificate| certificate.names.join(", ")).collect();
    step.done(&format!("{}  revoked", names.join("; ")));
    for certificate in &revoked {
        let ends = certificate.not_after.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        ui.event("revoked", &json!({ "names": certificate.names, "not_after": ends }));
    }
    Ok(())
}

fn unrevoked(error: &RevokeError) -> Failure {
    let kind = match error {
        RevokeError::Store(_) | RevokeError::NoAccount(_) => Kind::Cloud,
        RevokeError::Account(_) | RevokeError::Refused(_) => Kind::Network,
    };
    Failure::new(kind, "the certificate is not revoked, and nothing is deleted")
        .because(error)
        .hint("try again later, or leave the certificate to end by itself: --no-revoke")
}

/// A machine that runs would write again what is deleted.
async fn idle(account: &Account, name: &Hostname) -> Result<(), Failure> {
    let machines = machines::named(account, name).await?;
    match machines.iter().find(|machine| machine.state != State::Terminated) {
        None => Ok(()),
        Some(machine) => Err(Failure::new(
            Kind::User,
            format!("{} is still there for {name}: it has all of it", machine.id),
        )
        .hint(format!("irp down {name}   ends it; then type this again"))),
    }
}
