//! The edge's half of the hello.

use tokio::io::{AsyncRead, AsyncWrite};

use super::{
    CAPABILITY_LANES, CAPABILITY_UPGRADE, HelloError, NAMES_MAX, Refusal, Request, SessionId, SessionSecret,
    Terms, VERSION, frame,
    message::{Bytes, ClientProof, EdgeProof, Kind, Open, Verdict},
};
use crate::{
    key::{PublicKey, SecretKey},
    proof::{ChannelBinding, Role, Statement},
    report::Report,
};

/// A connection whose hello waits for the edge's verdict.
#[derive(Debug)]
pub enum Opened {
    /// A proven client asks for a session.
    Control(Applicant),
    /// A proven client has an errand, and claims nothing.
    Errand(Applicant),
    /// A connection says that it belongs to a session; not proven yet.
    Lane(LaneApplicant),
    /// A proven client wants to know how the edge is.
    Look(Applicant),
}

/// A client that has proven its key.
#[derive(Debug)]
pub struct Applicant {
    /// The proven key.
    pub key: PublicKey,
    /// What it asks for.
    pub request: Request,
    /// What it can do.
    pub capabilities: Vec<String>,
}

/// A connection that names a session.
#[derive(Debug)]
pub struct LaneApplicant {
    /// The session that it names.
    pub session: SessionId,
    mac: Bytes,
}

/// Receives a hello on a fresh TLS connection that was dialled as `host`, up to the verdict.
///
/// # Errors
///
/// See [`HelloError`]; the caller bounds the time with [`super::HELLO_TIMEOUT`].
pub async fn receive<S: AsyncRead + AsyncWrite + Unpin>(
    io: &mut S,
    binding: &ChannelBinding,
    host: &str,
    identity: &SecretKey,
) -> Result<Opened, HelloError> {
    let open: Open = frame::read(io).await?;
    let proven = match open.kind {
        Kind::Lane { session, mac } => return Ok(Opened::Lane(LaneApplicant { session, mac })),
        Kind::Control => Opened::Control,
        Kind::Errand => Opened::Errand,
        Kind::Look => Opened::Look,
    };
    // The proof goes out whatever the client's version is: it carries ours, for a clear message there.
    let statement = Statement { role: Role::Edge, host, names: &[], binding };
    let proof = EdgeProof {
        version: VERSION,
        identity: identity.public_key(),
        signature: Bytes(identity.sign(&statement.to_signed_bytes())),
        capabilities: vec![CAPABILITY_UPGRADE.to_owned(), CAPABILITY_LANES.to_owned()],
    };
    frame::write(io, &proof).await?;
    if open.version != VERSION {
        return Err(HelloError::Version { theirs: open.version });
    }

    let proof: ClientProof = frame::read(io).await?;
    if proof.names.is_empty() || proof.names.len() > NAMES_MAX {
        return Err(HelloError::Frame(format!("a claim of {} names", proof.names.len())));
    }
    let statement = Statement { role: Role::Client, host, names: &proof.names, binding };
    if !statement.is_signed_by(&proof.key, &proof.signature.0) {
        return Err(HelloError::Proof);
    }
    let request = Request {
        names: proof.names,
        instance: proof.instance,
        lanes_max: proof.lanes_max,
        agent: proof.agent.chars().filter(|letter| !letter.is_control()).take(64).collect(),
    };
    let applicant = Applicant { key: proof.key, request, capabilities: open.capabilities };
    Ok(proven(applicant))
}

impl Applicant {
    /// Welcomes the client; afterwards the edge is the HTTP/2 client of `io`.
    ///
    /// # Errors
    ///
    /// When the connection breaks.
    pub async fn welcome(
        io: &mut (impl AsyncWrite + Unpin),
        session: SessionId,
        secret: &SessionSecret,
        terms: Terms,
    ) -> Result<(), HelloError> {
        frame::write(io, &Verdict::Welcome { session, secret: secret.clone(), terms }).await
    }
}

impl Applicant {
    /// Tells a client that only looks how the edge is.
    ///
    /// # Errors
    ///
    /// When the connection breaks.
    pub async fn tell(io: &mut (impl AsyncWrite + Unpin), report: Report) -> Result<(), HelloError> {
        frame::write(io, &Verdict::Report { report: report.bounded() }).await
    }
}

impl LaneApplicant {
    /// Whether the connection was made by the holder of `secret`.
    #[must_use]
    pub fn is_proven(&self, secret: &SessionSecret, binding: &ChannelBinding) -> bool {
        secret.made(&self.mac, Role::Client, binding)
    }

    /// Takes the lane; afterwards the edge is the HTTP/1.1 client of `io`.
    ///
    /// # Errors
    ///
    /// When the connection breaks.
    pub async fn welcome(
        io: &mut (impl AsyncWrite + Unpin),
        secret: &SessionSecret,
        binding: &ChannelBinding,
    ) -> Result<(), HelloError> {
        frame::write(io, &Verdict::Lane { mac: secret.mac(Role::Edge, binding) }).await
    }
}

/// Refuses a connection of either kind.
///
/// # Errors
///
/// When the connection breaks.
pub async fn refuse(io: &mut (impl AsyncWrite + Unpin), refusal: Refusal) -> Result<(), HelloError> {
    frame::write(io, &Verdict::Refused { refusal }).await
}
