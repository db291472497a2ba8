//! What the role of one machine may do.

use irp_wire::name::Hostname;

use super::{Edge, Place, Statement, key_by};
use crate::{
    tags,
    values::{CertStore, KmsKey},
};

pub(super) fn statements(edge: &Edge, place: &Place) -> Vec<Statement> {
    let mut statements = dns(edge, place);
    match &edge.store {
        CertStore::S3 { bucket, prefix } => statements.extend(bucket_store(edge, place, bucket, prefix)),
        CertStore::Ssm if !edge.is_caddy => statements.push(parameter_store(edge, place)),
        CertStore::Ssm | CertStore::File => {}
    }
    if !edge.is_caddy {
        statements.extend(secrets(edge, place));
        statements.extend(inbox(edge, place));
    }
    statements.extend(edge.kms_key.as_ref().into_iter().flat_map(|key| key_use(edge, place, key)));
    statements.push(agent());
    statements
}

const WRITE_PARAMETERS: [&str; 3] = ["ssm:PutParameter", "ssm:DeleteParameter", "ssm:DeleteParameters"];

const ALL_OF_OBJECTS: [&str; 3] = ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"];

const READ_PARAMETERS: [&str; 3] = ["ssm:GetParameter", "ssm:GetParameters", "ssm:GetParametersByPath"];

/// Address records at the name, challenges below it: two statements, since one would allow each type at each name.
fn dns(edge: &Edge, place: &Place) -> Vec<Statement> {
    let change = |sid| Statement::allow(sid, ["route53:ChangeResourceRecordSets"], [place.zone()]);
    let mut statements = vec![
        Statement::allow("FindZone", ["route53:ListHostedZonesByName"], ["*"]),
        Statement::allow(
            "ReadZone",
            ["route53:GetHostedZone", "route53:ListResourceRecordSets"],
            [place.zone()],
        ),
        Statement::allow("ReadChange", ["route53:GetChange"], [place.changes()]),
        change("Address").only_changes([edge.name.as_str()], ["A", "AAAA"]),
    ];
    if !edge.is_caddy {
        let challenge = format!("_acme-challenge.{}", edge.name);
        statements.push(change("Challenge").only_changes([challenge.as_str()], ["TXT"]));
    }
    statements
}

fn parameter_store(edge: &Edge, place: &Place) -> Statement {
    let folder = place.folder(&format!("/irp/cert/{}", edge.name));
    Statement::allow("Certificates", READ_PARAMETERS.into_iter().chain(WRITE_PARAMETERS), folder)
}

/// Signing secrets, in Parameter Store and in Secrets Manager, which Parameter Store reads in the caller's name.
fn secrets(edge: &Edge, place: &Place) -> [Statement; 2] {
    let host = &edge.host;
    let by_way = place.arn("ssm", &format!("parameter/aws/reference/secretsmanager/irp/secret/{host}/*"));
    let parameters = place.folder(&format!("/irp/secret/{host}")).into_iter().chain([by_way]);
    [
        Statement::allow("Secrets", READ_PARAMETERS, parameters),
        Statement::allow("ManagedSecrets", ["secretsmanager:GetSecretValue"], [managed_secrets(edge, place)]),
    ]
}

/// Secrets Manager puts six letters of its own behind a name.
fn managed_secrets(edge: &Edge, place: &Place) -> String {
    place.arn("secretsmanager", &format!("secret:irp/secret/{}/*", edge.host))
}

/// Events that wait: their key, and they themselves while no machine of the name runs.
fn inbox(edge: &Edge, place: &Place) -> Vec<Statement> {
    let keys = place.folder(&tags::inbox_keys(&edge.name));
    let mut statements =
        vec![Statement::allow("InboxKey", READ_PARAMETERS.into_iter().chain(WRITE_PARAMETERS), keys)];
    if let Some(bucket) = &place.bucket {
        let arn = place.bucket(bucket);
        statements.extend(objects(
            ["Inbox", "ListInbox"],
            &ALL_OF_OBJECTS,
            &arn,
            &tags::inbox_folder(&edge.name),
        ));
    }
    statements
}

fn bucket_store(edge: &Edge, place: &Place, bucket: &str, prefix: &str) -> [Statement; 2] {
    let folder = format!("{}/", folder_in_bucket(&edge.name, edge.is_caddy, prefix));
    objects(["Certificates", "ListCertificates"], &ALL_OF_OBJECTS, &place.bucket(bucket), &folder)
}

/// All objects whose keys begin with `folder`, which ends with a slash.
pub(super) fn objects(
    sids: [&'static str; 2],
    actions: &[&str],
    bucket: &str,
    folder: &str,
) -> [Statement; 2] {
    let [content, list] = sids;
    [
        Statement::allow(content, actions.iter().copied(), [format!("{bucket}/{folder}*")]),
        // S3 tells a missing object from a forbidden one only to those who may list, and asks that without a prefix:
        // hence `IfExists`. Names of other objects can be seen so, their content cannot.
        Statement::allow(list, ["s3:ListBucket"], [bucket]).when(
            "StringLikeIfExists",
            "s3:prefix",
            [format!("{folder}*")],
        ),
    ]
}

/// Where in its bucket certificates of a name are, without a final slash; those of Caddy are of another form, and apart.
#[must_use]
pub fn folder_in_bucket(name: &Hostname, is_caddy: bool, prefix: &str) -> String {
    let inner = if is_caddy { format!("caddy/{name}") } else { name.to_string() };
    if prefix.is_empty() { inner } else { format!("{prefix}/{inner}") }
}

/// The key is used by way of Parameter Store and S3 alone, for what the edge may read there anyway.
fn key_use(edge: &Edge, place: &Place, key: &KmsKey) -> Vec<Statement> {
    let mut statements = Vec::new();
    if !edge.is_caddy {
        let folders = [
            format!("/irp/cert/{}/*", edge.name),
            format!("/irp/secret/{}/*", edge.host),
            format!("{}/*", tags::inbox_keys(&edge.name)),
        ];
        let parameters = folders.map(|folder| place.arn("ssm", &format!("parameter{folder}")));
        let by_ssm = key_by("KeyOfParameters", &["kms:Encrypt", "kms:Decrypt"], place, key, &["ssm"]);
        statements.push(by_ssm.when("StringLike", "kms:EncryptionContext:PARAMETER_ARN", parameters));
        let managed = [managed_secrets(edge, place)];
        let by_manager = key_by("KeyOfSecrets", &["kms:Decrypt"], place, key, &["secretsmanager"]);
        statements.push(by_manager.when("StringLike", "kms:EncryptionContext:SecretARN", managed));
    }
    // With a bucket key the context is the bucket, without one the object.
    let mut contexts = Vec::new();
    if let CertStore::S3 { bucket, prefix } = &edge.store {
        let arn = place.bucket(bucket);
        contexts.extend([
            arn.clone(),
            format!("{arn}/{}/*", folder_in_bucket(&edge.name, edge.is_caddy, prefix)),
        ]);
    }
    if let Some(bucket) = place.bucket.as_ref().filter(|_| !edge.is_caddy) {
        let arn = place.bucket(bucket);
        contexts.extend([arn.clone(), format!("{arn}/{}*", tags::inbox_folder(&edge.name))]);
    }
    if !contexts.is_empty() {
        let key = key_by("KeyOfBucket", &["kms:GenerateDataKey", "kms:Decrypt"], place, key, &["s3"]);
        statements.push(key.when("StringLike", "kms:EncryptionContext:aws:s3:arn", contexts));
    }
    statements
}

/// What the agent of Systems Manager itself needs for sessions. AWS's managed policy for it
/// (AmazonSSMManagedInstanceCore) would let the machine read every parameter of the account.
fn agent() -> Statement {
    let actions = [
        "ssm:UpdateInstanceInformation",
        "ssmmessages:CreateControlChannel",
        "ssmmessages:CreateDataChannel",
        "ssmmessages:OpenControlChannel",
        "ssmmessages:OpenDataChannel",
    ];
    Statement::allow("SessionManager", actions, ["*"])
}
