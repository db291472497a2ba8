//! Access rules of one name: who may reach what is behind it. Names are public in certificate logs at once,
//! so strangers come.

use std::net::IpAddr;

use aws_lc_rs::{constant_time, digest};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::HeaderValue;
use ipnet::IpNet;

/// Who may reach a name. A visitor must pass both rules; a rule that is empty lets everybody pass.
#[derive(Clone, Debug, Default)]
pub struct Access {
    allow: Vec<IpNet>,
    users: Vec<User>,
}

/// One user of HTTP basic authentication; only a digest of the password is kept.
#[derive(Clone)]
pub struct User {
    name: String,
    credentials: [u8; 32],
}

/// Why a visitor was turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    /// The address is on no network of the allow list.
    Address,
    /// No user name and password, or wrong ones.
    Credentials,
}

impl Access {
    /// Rules that let pass who comes from one of the networks `allow` and is one of `users`.
    #[must_use]
    pub fn new(allow: Vec<IpNet>, users: Vec<User>) -> Self {
        Self { allow, users }
    }

    /// Whether a visitor at `address` with this `Authorization` header may pass.
    ///
    /// # Errors
    ///
    /// Says which rule turned the visitor away.
    pub fn check(&self, address: IpAddr, authorization: Option<&HeaderValue>) -> Result<(), Denied> {
        if !self.allow.is_empty() {
            // A listener on `::` shows IPv4 visitors in IPv6 dress.
            let address = address.to_canonical();
            if !self.allow.iter().any(|network| network.contains(&address)) {
                return Err(Denied::Address);
            }
        }
        if self.users.is_empty()
            || authorization.and_then(credentials).is_some_and(|given| self.knows(&given))
        {
            Ok(())
        } else {
            Err(Denied::Credentials)
        }
    }

    /// Whether `Authorization` is meant for the edge, so that the upstream must not see it.
    #[must_use]
    pub fn takes_credentials(&self) -> bool {
        !self.users.is_empty()
    }

    /// Compares with every user, each in constant time, so that the time tells nothing about names.
    fn knows(&self, given: &[u8]) -> bool {
        let given = digest_of(given);
        self.users.iter().fold(false, |known, user| {
            known | constant_time::verify_slices_are_equal(&user.credentials, &given).is_ok()
        })
    }
}

impl User {
    /// A user; `None` where the name is empty or holds a colon, which basic authentication cannot carry
    /// (RFC 7617, section 2).
    #[must_use]
    pub fn new(name: &str, password: &str) -> Option<Self> {
        Self::from_digest(name, digest_of(format!("{name}:{password}").as_bytes()))
    }

    /// A user of whom only the SHA-256 digest of `name:password` is known; `None` as for [`new`](Self::new).
    #[must_use]
    pub fn from_digest(name: &str, digest: [u8; 32]) -> Option<Self> {
        let is_name = !name.is_empty() && !name.contains(':');
        is_name.then(|| Self { name: name.to_owned(), credentials: digest })
    }
}

impl std::fmt::Debug for User {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("User").field("name", &self.name).finish_non_exhaustive()
    }
}

/// `name:password` of an `Authorization: Basic` header.
fn credentials(header: &HeaderValue) -> Option<Vec<u8>> {
    let text = header.to_str().ok()?;
    let (scheme, encoded) = text.split_once(' ')?;
    scheme.eq_ignore_ascii_case("basic").then(|| STANDARD.decode(encoded.trim()).ok())?
}

fn digest_of(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn basic(text: &str) -> HeaderValue {
        HeaderValue::try_from(format!("Basic {}", STANDARD.encode(text))).unwrap()
    }

    #[test]
    fn an_address_must_be_on_the_list() {
        let access =
            Access::new(vec!["203.0.113.0/24".parse().unwrap(), "2001:db8::/32".parse().unwrap()], vec![]);
        for (address, passes) in [
            ("203.0.113.7", true),
            ("::ffff:203.0.113.7", true),
            ("2001:db8::1", true),
            ("203.0.114.1", false),
            ("::1", false),
        ] {
            assert_eq!(access.check(address.parse().unwrap(), None).is_ok(), passes, "{address}");
        }
    }

    #[test]
    fn one_of_the_users_must_be_named() {
        let users = vec![User::new("alice", "wonder:land").unwrap(), User::new("bob", "").unwrap()];
        let access = Access::new(vec![], users);
        let check = |header: Option<HeaderValue>| access.check("::1".parse().unwrap(), header.as_ref());
        assert_eq!(check(Some(basic("alice:wonder:land"))), Ok(()));
        assert_eq!(check(Some(basic("bob:"))), Ok(()));
        for wrong in ["alice:wonder", "alice", "bob:x", ":", "", "alice:wonder:land "] {
            assert_eq!(check(Some(basic(wrong))), Err(Denied::Credentials), "{wrong}");
        }
        assert_eq!(check(None), Err(Denied::Credentials));
        assert_eq!(check(Some(HeaderValue::from_static("Basic %%%"))), Err(Denied::Credentials));
        assert_eq!(check(Some(HeaderValue::from_static("Bearer x"))), Err(Denied::Credentials));
    }

    #[test]
    fn without_rules_everybody_passes_and_secrets_are_not_printed() {
        assert_eq!(Access::default().check("::1".parse().unwrap(), None), Ok(()));
        let user = User::new("alice", "wonderland").unwrap();
        assert_eq!(format!("{user:?}"), "User { name: \"alice\", .. }");
        assert!(User::new("a:b", "").is_none());
    }
}
