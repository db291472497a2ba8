//! What each end signs to prove its key for one TLS session.
//!
//! The signed bytes have the shape of SSHSIG (OpenSSH's `PROTOCOL.sshsig`), so that an ssh-agent signs them
//! and no signature of another protocol can be passed off as one of ours: the magic word, the namespace
//! [`NAMESPACE`], a reserved string, the hash's name, the hash of the statement. The statement names the
//! role, the host, the names claimed, and the keying material exported from this TLS session (RFC 9266), so
//! a proof is worth nothing in any other session.

use aws_lc_rs::digest;

use crate::{
    key::{PublicKey, put_string},
    name::Hostname,
};

/// The SSHSIG namespace of our proofs; it holds the version of the statement.
pub const NAMESPACE: &str = "hello-1@irp";

/// The label under which keying material is exported (RFC 9266, section 4.2); the context is empty.
pub const EXPORTER_LABEL: &[u8] = b"EXPORTER-Channel-Binding";

/// Keying material exported from one TLS session: the same on both ends, different in every session.
#[derive(Clone, Copy, Debug)]
pub struct ChannelBinding(pub [u8; 32]);

/// Which end makes a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The server that faces the Internet.
    Edge,
    /// The developer's PC.
    Client,
}

impl Role {
    /// The role's word in statements.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Edge => "edge",
            Self::Client => "client",
        }
    }
}

/// What one end states about a session.
#[derive(Clone, Copy)]
pub struct Statement<'a> {
    /// Who states it.
    pub role: Role,
    /// The name that the client dialled (the SNI of the session).
    pub host: &'a str,
    /// The names that the client claims; empty for the edge.
    pub names: &'a [Hostname],
    /// The session's keying material.
    pub binding: &'a ChannelBinding,
}

impl Statement<'_> {
    /// The bytes to sign.
    #[must_use]
    pub fn to_signed_bytes(&self) -> Vec<u8> {
        let mut statement = Vec::new();
        put_string(&mut statement, self.role.as_str().as_bytes());
        put_string(&mut statement, self.host.as_bytes());
        let count = u32::try_from(self.names.len()).unwrap_or(u32::MAX);
        statement.extend_from_slice(&count.to_be_bytes());
        for name in self.names {
            put_string(&mut statement, name.as_str().as_bytes());
        }
        put_string(&mut statement, &self.binding.0);

        let mut signed = b"SSHSIG".to_vec();
        put_string(&mut signed, NAMESPACE.as_bytes());
        put_string(&mut signed, b"");
        put_string(&mut signed, b"sha512");
        put_string(&mut signed, digest::digest(&digest::SHA512, &statement).as_ref());
        signed
    }

    /// Whether `signature` is `key`'s under this statement.
    #[must_use]
    pub fn is_signed_by(&self, key: &PublicKey, signature: &[u8]) -> bool {
        key.verifies(&self.to_signed_bytes(), signature)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::SecretKey;

    #[test]
    fn every_part_of_the_statement_is_signed() {
        let key = SecretKey::generate().unwrap();
        let names = ["a.example".parse::<Hostname>().unwrap()];
        let binding = ChannelBinding([1; 32]);
        let statement = Statement { role: Role::Client, host: "a.example", names: &names, binding: &binding };
        let signature = key.sign(&statement.to_signed_bytes());
        let public = key.public_key();
        assert!(statement.is_signed_by(&public, &signature));
        assert!(!Statement { role: Role::Edge, ..statement }.is_signed_by(&public, &signature));
        assert!(!Statement { host: "b.example", ..statement }.is_signed_by(&public, &signature));
        assert!(!Statement { names: &[], ..statement }.is_signed_by(&public, &signature));
        let other = ChannelBinding([2; 32]);
        assert!(!Statement { binding: &other, ..statement }.is_signed_by(&public, &signature));
    }
}
