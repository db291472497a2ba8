//! The token of a launch: what makes EC2 give the same machine to everybody who tries the same launch.
//!
//! It is made of what everybody sees alike: the name, the machines of this name that are gone, the hour, and the try. So
//! an `irp up` that is killed behind its order, or two PCs that start at once, get one machine. A machine that is gone
//! shows in lists for about an hour (and its token is not to be used again: EC2 would answer with the dead machine);
//! after that, the hour tells the launches apart.

/// How long lists may not show what was just ordered, in seconds. Behind the turn of an hour, a launch waits so long
/// before it looks: the order of a moment before had another token.
const SETTLES: u64 = 15;

const HOUR: u64 = 3600;

/// At most 64 ASCII characters, as RunInstances allows. `now` is in UNIX seconds, `attempt` counts from 0.
#[must_use]
pub fn client_token(name: &str, gone: &[String], now: u64, attempt: usize) -> String {
    let mut gone: Vec<_> = gone.iter().map(String::as_str).collect();
    gone.sort_unstable();
    let gone = fnv(gone.join(",").as_bytes());
    format!("irp-{:016x}-{gone:016x}-{}-{attempt}", fnv(name.as_bytes()), now / HOUR)
}

/// How many seconds to wait before looking for machines that were ordered in the hour before.
#[must_use]
pub fn settles_in(now: u64) -> u64 {
    SETTLES.saturating_sub(now % HOUR)
}

/// FNV-1a, 64 bit: the same everywhere and for ever, which the hashes of the standard library are not.
fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_launch_has_the_same_token_and_another_has_not() {
        let gone = ["i-1".to_owned(), "i-2".to_owned()];
        let turned = ["i-2".to_owned(), "i-1".to_owned()];
        let token = client_token("alice.example.com", &gone, 7200, 0);
        assert_eq!(token, client_token("alice.example.com", &turned, 7200 + 3599, 0));
        assert!(token.len() <= 64 && token.is_ascii(), "{token}");
        for other in [
            client_token("bob.example.com", &gone, 7200, 0),
            client_token("alice.example.com", &gone[..1], 7200, 0),
            client_token("alice.example.com", &gone, 7199, 0),
            client_token("alice.example.com", &gone, 7200, 1),
        ] {
            assert_ne!(token, other);
        }
        assert!(client_token(&"x".repeat(253), &gone, u64::from(u32::MAX) * 4, 99).len() <= 64);
    }

    #[test]
    fn behind_the_turn_of_an_hour_a_launch_waits() {
        assert_eq!(settles_in(7200), 15);
        assert_eq!(settles_in(7214), 1);
        assert_eq!(settles_in(7215), 0);
        assert_eq!(settles_in(7199), 0);
    }

    #[test]
    fn the_hash_is_the_published_one() {
        assert_eq!(fnv(b"a"), 0xaf63_dc4c_8601_ec8c);
    }
}
