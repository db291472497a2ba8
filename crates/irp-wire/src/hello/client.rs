//! The client's half of the hello.

use tokio::io::{AsyncRead, AsyncWrite};

use super::{
    CAPABILITY_LANES, CAPABILITY_UPGRADE, HelloError, Request, SessionId, SessionSecret, Terms, VERSION,
    frame,
    message::{Bytes, ClientProof, EdgeProof, Kind, Open, Verdict},
};
use crate::{
    key::{PublicKey, Signer},
    proof::{ChannelBinding, Role, Statement},
    report::Report,
};

/// What lanes need to join a session.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// The session's number.
    pub session: SessionId,
    /// The session's secret.
    pub secret: SessionSecret,
}

/// The edge's welcome.
#[derive(Clone, Debug)]
pub struct Welcome {
    /// For the session's lanes.
    pub credentials: Credentials,
    /// What the edge grants.
    pub terms: Terms,
    /// What the edge can do.
    pub capabilities: Vec<String>,
}

/// Opens the control connection of a session on a fresh TLS connection to `host`.
///
/// `check` decides on the edge's identity before the client says who it is; its text is the reason for a
/// refusal. After success the caller serves HTTP/2 on `io`.
///
/// # Errors
///
/// See [`HelloError`]; the caller bounds the time with [`super::HELLO_TIMEOUT`].
pub async fn open_control<S: AsyncRead + AsyncWrite + Unpin>(
    io: &mut S,
    binding: &ChannelBinding,
    host: &str,
    request: &Request,
    signer: &dyn Signer,
    check: impl FnOnce(&PublicKey) -> Result<(), String>,
) -> Result<Welcome, HelloError> {
    let edge_capabilities = prove(io, Kind::Control, binding, host, request, signer, check).await?;
    match frame::read(io).await? {
        Verdict::Welcome { session, secret, terms } => Ok(Welcome {
            credentials: Credentials { session, secret },
            terms,
            capabilities: edge_capabilities,
        }),
        Verdict::Refused { refusal } => Err(refusal.into()),
        Verdict::Lane { .. } | Verdict::Report { .. } => {
            Err(HelloError::Frame("another answer than that to a control connection".into()))
        }
    }
}

/// Asks the edge how it is, on a fresh TLS connection, which is over afterwards. The names of the request are those that
/// are asked about; the key must be one that may hold them.
///
/// # Errors
///
/// See [`HelloError`]; an edge of an older version closes the connection.
pub async fn ask<S: AsyncRead + AsyncWrite + Unpin>(
    io: &mut S,
    binding: &ChannelBinding,
    host: &str,
    request: &Request,
    signer: &dyn Signer,
    check: impl FnOnce(&PublicKey) -> Result<(), String>,
) -> Result<Report, HelloError> {
    prove(io, Kind::Look, binding, host, request, signer, check).await?;
    match frame::read(io).await? {
        Verdict::Report { report } => Ok(report),
        Verdict::Refused { refusal } => Err(refusal.into()),
        Verdict::Lane { .. } | Verdict::Welcome { .. } => {
            Err(HelloError::Frame("another answer than that to a look".into()))
        }
    }
}

/// Opens an [`errand`](crate::errand) on a fresh TLS connection to `host`, for the names of `request`. After success
/// both ends speak lines on `io`.
///
/// # Errors
///
/// See [`open_control`]. An edge of an earlier version closes the connection before it has proven anything.
pub async fn open_errand<S: AsyncRead + AsyncWrite + Unpin>(
    io: &mut S,
    binding: &ChannelBinding,
    host: &str,
    request: &Request,
    signer: &dyn Signer,
    check: impl FnOnce(&PublicKey) -> Result<(), String>,
) -> Result<(), HelloError> {
    prove(io, Kind::Errand, binding, host, request, signer, check).await?;
    match frame::read(io).await? {
        Verdict::Welcome { .. } => Ok(()),
        Verdict::Refused { refusal } => Err(refusal.into()),
        Verdict::Lane { .. } | Verdict::Report { .. } => {
            Err(HelloError::Frame("another answer than that to an errand".into()))
        }
    }
}

/// Proves both ends to each other; what the edge can do.
async fn prove<S: AsyncRead + AsyncWrite + Unpin>(
    io: &mut S,
    kind: Kind,
    binding: &ChannelBinding,
    host: &str,
    request: &Request,
    signer: &dyn Signer,
    check: impl FnOnce(&PublicKey) -> Result<(), String>,
) -> Result<Vec<String>, HelloError> {
    let capabilities = vec![CAPABILITY_UPGRADE.to_owned(), CAPABILITY_LANES.to_owned()];
    frame::write(io, &Open { version: VERSION, kind, capabilities }).await?;

    let proof: EdgeProof = frame::read(io).await?;
    if proof.version != VERSION {
        return Err(HelloError::Version { theirs: proof.version });
    }
    let statement = Statement { role: Role::Edge, host, names: &[], binding };
    if !statement.is_signed_by(&proof.identity, &proof.signature.0) {
        return Err(HelloError::Proof);
    }
    check(&proof.identity).map_err(HelloError::Identity)?;

    let statement = Statement { role: Role::Client, host, names: &request.names, binding };
    let signature = Bytes(signer.sign(&statement.to_signed_bytes()).await?);
    let proof_of_client = ClientProof {
        key: signer.public_key(),
        names: request.names.clone(),
        instance: request.instance,
        lanes_max: request.lanes_max,
        agent: request.agent.clone(),
        signature,
    };
    frame::write(io, &proof_of_client).await?;
    Ok(proof.capabilities)
}

/// Opens a lane of an existing session on a fresh TLS connection.
///
/// After success the caller serves HTTP/1.1 on `io`.
///
/// # Errors
///
/// See [`HelloError`].
pub async fn open_lane<S: AsyncRead + AsyncWrite + Unpin>(
    io: &mut S,
    binding: &ChannelBinding,
    credentials: &Credentials,
) -> Result<(), HelloError> {
    let mac = credentials.secret.mac(Role::Client, binding);
    let kind = Kind::Lane { session: credentials.session, mac };
    frame::write(io, &Open { version: VERSION, kind, capabilities: Vec::new() }).await?;
    match frame::read(io).await? {
        Verdict::Lane { mac } if credentials.secret.made(&mac, Role::Edge, binding) => Ok(()),
        Verdict::Lane { .. } => Err(HelloError::Proof),
        Verdict::Refused { refusal } => Err(refusal.into()),
        Verdict::Welcome { .. } | Verdict::Report { .. } => {
            Err(HelloError::Frame("another answer than that to a lane".into()))
        }
    }
}
