//! What the role of one machine may do.

use super::{Edge, Place, Statement, key_by};
use crate::values::{CertStore, KmsKey};

pub(super) fn statements(edge: &Edge, place: &Place) -> Vec<Statement> {
    let mut statements = dns(edge, place);
    match &edge.store {
        CertStore::S3 { bucket, prefix } => statements.extend(bucket_store(edge, place, bucket, prefix)),
        CertStore::Ssm if !edge.is_caddy => statements.push(parameter_store(edge, place)),
        CertStore::Ssm | CertStore::File => {}
    }
    if !edge.is_caddy {
        statements.push(Statement::allow(
            "Secrets",
            READ_PARAMETERS,
            place.folder(&format!("/irp/secret/{}", edge.host)),
        ));
    }
    statements.extend(edge.kms_key.as_ref().into_iter().flat_map(|key| key_use(edge, place, key)));
    statements.push(agent());
    statements
}

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
    let write = ["ssm:PutParameter", "ssm:DeleteParameter", "ssm:DeleteParameters"];
    let folder = place.folder(&format!("/irp/cert/{}", edge.name));
    Statement::allow("Certificates", READ_PARAMETERS.into_iter().chain(write), folder)
}

fn bucket_store(edge: &Edge, place: &Place, bucket: &str, prefix: &str) -> [Statement; 2] {
    let arn = place.bucket(bucket);
    let folder = folder_in_bucket(edge, prefix);
    [
        Statement::allow(
            "Certificates",
            ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"],
            [format!("{arn}/{folder}/*")],
        ),
        // S3 tells a missing object from a forbidden one only to those who may list, and asks that without a prefix:
        // hence `IfExists`. Names of other objects can be seen so, their content cannot.
        Statement::allow("ListCertificates", ["s3:ListBucket"], [arn]).when(
            "StringLikeIfExists",
            "s3:prefix",
            [format!("{folder}/*")],
        ),
    ]
}

fn folder_in_bucket(edge: &Edge, prefix: &str) -> String {
    let inner = if edge.is_caddy { format!("caddy/{}", edge.name) } else { edge.name.to_string() };
    if prefix.is_empty() { inner } else { format!("{prefix}/{inner}") }
}

/// The key is used by way of Parameter Store and S3 alone, for what the edge may read there anyway.
fn key_use(edge: &Edge, place: &Place, key: &KmsKey) -> Vec<Statement> {
    let mut statements = Vec::new();
    if !edge.is_caddy {
        let folders = [format!("/irp/cert/{}/*", edge.name), format!("/irp/secret/{}/*", edge.host)];
        let parameters = folders.map(|folder| place.arn("ssm", &format!("parameter{folder}")));
        let key = key_by("KeyOfParameters", &["kms:Encrypt", "kms:Decrypt"], place, key, &["ssm"]);
        statements.push(key.when("StringLike", "kms:EncryptionContext:PARAMETER_ARN", parameters));
    }
    if let CertStore::S3 { bucket, prefix } = &edge.store {
        // With a bucket key the context is the bucket, without one the object.
        let arn = place.bucket(bucket);
        let contexts = [arn.clone(), format!("{arn}/{}/*", folder_in_bucket(edge, prefix))];
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
