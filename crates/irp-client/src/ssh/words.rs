//! What `ssh -v` says, as far as it matters here. OpenSSH does not translate these sentences.

use crate::pipe::CarrierError;

/// What a line of its stderr means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// The forward stands.
    Forwards,
    /// Something that a person may need when it fails.
    Said(String),
    /// Nothing to act upon.
    Nothing,
}

/// Understands one line.
pub(super) fn heard(line: &str) -> Heard {
    let line = line.trim();
    if let Some(debug) = line.strip_prefix("debug1: ") {
        let stands = debug.starts_with("remote forward success for: listen");
        return if stands { Heard::Forwards } else { Heard::Nothing };
    }
    let chatter =
        ["OpenSSH_", "Authenticated to ", "Authenticating to ", "Transferred: ", "Bytes per second: "];
    if line.is_empty()
        || line.starts_with("debug")
        || line.starts_with('@')
        || chatter.iter().any(|start| line.starts_with(start))
    {
        return Heard::Nothing;
    }
    Heard::Said(line.chars().filter(|letter| !letter.is_control()).take(300).collect())
}

/// What a failed login means, from what was said.
pub(super) fn explain(said: &[String], way: &str) -> CarrierError {
    let all = said.join("; ");
    let has = |text: &str| all.contains(text);
    if has("Host key verification failed") || has("REMOTE HOST IDENTIFICATION HAS CHANGED") {
        return CarrierError::lasting(format!(
            "{way}: whoever answers is not the machine: its host key is none of those that the machine reported"
        ))
        .hint("use another network, or end the machine and launch another one");
    }
    if has("Permission denied") {
        return CarrierError::lasting(format!("{way}: the machine does not let this key in: {all}"))
            .hint("the machine lets in the key whose public half it got when it was launched")
            .hint("one that is pushed needs the package ec2-instance-connect, which Debian's image lacks");
    }
    if has("remote port forwarding failed") {
        return CarrierError::passing(format!(
            "{way}: the port on the machine is taken, by another tunnel or by the last one, which ends within seconds"
        ));
    }
    if all.is_empty() {
        return CarrierError::passing(format!("{way}: ssh ended without a word"));
    }
    CarrierError::passing(format!("{way}: {all}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_ssh_are_understood() {
        let stands = "debug1: remote forward success for: listen 3000, connect localhost:3001";
        assert_eq!(heard(stands), Heard::Forwards);
        let fails = "debug1: remote forward failure for: listen 3000, connect localhost:3001";
        assert_eq!(heard(fails), Heard::Nothing);
        assert_eq!(heard("OpenSSH_9.2p1 Debian-2, OpenSSL 3.0.19"), Heard::Nothing);
        let said = "Error: remote port forwarding failed for listen port 3000";
        assert_eq!(heard(said), Heard::Said(said.into()));
    }

    #[test]
    fn a_failure_that_a_person_must_mend_is_told_from_one_that_passes() {
        let lasting = |text: &str| explain(&[text.to_owned()], "ssh").is_lasting();
        assert!(lasting("Host key verification failed."));
        assert!(lasting("ec2-user@i-0abc: Permission denied (publickey)."));
        assert!(!lasting("Error: remote port forwarding failed for listen port 3000"));
        assert!(!lasting("kex_exchange_identification: Connection closed by remote host"));
        assert!(explain(&[], "ssh").to_string().contains("without a word"));
    }
}
