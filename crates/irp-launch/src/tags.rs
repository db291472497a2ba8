//! The tags by which everything of irp is found in the account, and the names of the things that carry them.
//!
//! There is no state elsewhere: what a machine is for, who launched it, and how to connect to it stands in its tags.
//! The keys use only characters that the metadata service takes as well, so the machine can read them too.

use std::collections::BTreeMap;

use irp_wire::name::Hostname;

use crate::{settings::Settings, values::Label};

/// The public name of a machine, such as `alice.proxy.example.com`: what a machine is found by.
pub const NAME: &str = "irp:name";

/// What runs on it: `irp` or `caddy`. It tells how to connect.
pub const ENGINE: &str = "irp:engine";

/// The ARN of who launched it.
pub const OWNER: &str = "irp:owner";

/// The id of the hosted zone in which its record is, `Z…`.
pub const ZONE: &str = "irp:zone";

/// The port at which forwards of ssh come out on the machine.
pub const UPSTREAM_PORT: &str = "irp:upstream-port";

/// The account of the image that people log in to: `ec2-user`, `admin` or `ubuntu`.
pub const USER: &str = "irp:user";

/// Hours after the last session until the machine ends; 0 is never.
pub const IDLE_HOURS: &str = "irp:idle-hours";

/// Hours after which the machine ends whatever happens; 0 is never.
pub const MAX_LIFE_HOURS: &str = "irp:max-life-hours";

/// Who sets its address record: [`BY_PC`], where the machine has no role to do it by itself.
pub const RECORD: &str = "irp:record";

/// The value of [`RECORD`].
pub const BY_PC: &str = "pc";

/// What the console of AWS shows as the name of a thing.
pub const SHOWN: &str = "Name";

/// On a security group: it is irp's own, for edges.
pub const GROUP: &str = "irp:group";

/// The value of [`GROUP`], and the name of that security group in its network.
pub const GROUP_NAME: &str = "irp-edge";

/// What all keys of irp's own tags begin with. Nobody else's tags may.
pub const PREFIX: &str = "irp:";

/// The longest value of a tag, in characters (EC2 User Guide, "Tag restrictions").
pub const VALUE_MAX: usize = 256;

/// What the settings do not know of a machine.
#[derive(Clone, Copy, Debug)]
pub struct Circumstances<'a> {
    /// The ARN of the caller.
    pub owner: &'a str,
    /// The id of the zone.
    pub zone_id: &'a str,
    /// The login account of the image, where it is known.
    pub user: Option<&'a str>,
}

/// The tags of a machine with these settings.
#[must_use]
pub fn of_machine(settings: &Settings, of: Circumstances<'_>) -> BTreeMap<String, String> {
    let name = settings.name.to_string();
    let mut tags = BTreeMap::from([
        (SHOWN.to_owned(), format!("irp {name}")),
        (NAME.to_owned(), name),
        (ENGINE.to_owned(), settings.engine.value.to_string()),
        (OWNER.to_owned(), of.owner.to_owned()),
        (ZONE.to_owned(), of.zone_id.to_owned()),
        (UPSTREAM_PORT.to_owned(), settings.upstream_port.value.to_string()),
        (IDLE_HOURS.to_owned(), settings.idle.value.to_string()),
        (MAX_LIFE_HOURS.to_owned(), settings.max_life.value.to_string()),
    ]);
    if settings.no_role.value {
        tags.insert(RECORD.to_owned(), BY_PC.to_owned());
    }
    tags.extend(of.user.map(|user| (USER.to_owned(), user.to_owned())));
    for value in tags.values_mut() {
        if let Some((end, _)) = value.char_indices().nth(VALUE_MAX) {
            value.truncate(end);
        }
    }
    tags
}

/// The tags of the security group.
#[must_use]
pub fn of_group() -> BTreeMap<String, String> {
    BTreeMap::from([(SHOWN.to_owned(), GROUP_NAME.to_owned()), (GROUP.to_owned(), GROUP_NAME.to_owned())])
}

/// The instance profile of a name, and its role: one for each first label, so that no edge reads another's keys.
#[must_use]
pub fn profile(host: &Label) -> String {
    format!("irp-edge-{host}")
}

/// The bucket of an account in a region: programs for edges, events that wait while no machine runs, and certificates
/// where that is wished.
#[must_use]
pub fn bucket(account: &str, region: &str) -> String {
    format!("irp-{account}-{region}")
}

/// Where in that bucket machines of a name leave the events that nobody has taken yet.
#[must_use]
pub fn inbox_folder(name: &Hostname) -> String {
    format!("inbox/{name}/")
}

/// The folder of parameters with the key of these events.
#[must_use]
pub fn inbox_keys(name: &Hostname) -> String {
    format!("/irp/inbox/{name}")
}

/// Where in that bucket a program for edges is, by its content.
#[must_use]
pub fn program_key(sha256: &str) -> String {
    format!("{PROGRAMS}{sha256}")
}

/// What the keys of programs in the bucket begin with.
pub const PROGRAMS: &str = "edge/";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{Key, Layers, Source};

    #[test]
    fn a_machine_says_what_it_is_for_and_how_to_connect() {
        let mut layers = Layers::new(Some("alice".into()));
        let typed = [
            (Key::HostedZoneDomain, "proxy.example.com"),
            (Key::CaddyDlUrl, "https://example.com/caddy_linux_arm64.tar.gz"),
            (Key::CaddySha256, &"a".repeat(64)),
            (Key::ShutdownTimerHour, "0.5"),
        ];
        layers.push(Source::Flag, typed.map(|(key, text)| (key, text.to_owned())));
        let settings = Settings::read(&layers, &[]).unwrap();
        let owner = format!("arn:aws:sts::123456789012:assumed-role/{}", "x".repeat(300));
        let of = Circumstances { owner: &owner, zone_id: "Z1", user: Some("admin") };
        let tags = of_machine(&settings, of);
        let tag = |key: &str| tags[key].as_str();
        assert_eq!(tag(NAME), "alice.proxy.example.com");
        assert_eq!((tag(ENGINE), tag(ZONE), tag(USER)), ("caddy", "Z1", "admin"));
        assert_eq!((tag(UPSTREAM_PORT), tag(IDLE_HOURS), tag(MAX_LIFE_HOURS)), ("3000", "0.5", "0"));
        assert_eq!(tag(OWNER).len(), VALUE_MAX);
        assert!(!tags.contains_key(RECORD));
        for key in tags.keys() {
            assert!(
                key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-=._:@".contains(&byte)),
                "{key}"
            );
        }
    }

    #[test]
    fn a_machine_without_a_role_tells_who_sets_its_record() {
        let mut layers = Layers::new(Some("alice".into()));
        let typed = [
            (Key::HostedZoneDomain, "proxy.example.com"),
            (Key::EdgeDlUrl, "https://example.com/irp-arm64"),
            (Key::EdgeSha256, &"a".repeat(64)),
            (Key::NoRole, "1"),
        ];
        layers.push(Source::Flag, typed.map(|(key, text)| (key, text.to_owned())));
        let settings = Settings::read(&layers, &[]).unwrap();
        let of = Circumstances { owner: "arn:aws:iam::1:user/a", zone_id: "Z1", user: None };
        assert_eq!(of_machine(&settings, of)[RECORD], BY_PC);
    }

    #[test]
    fn things_are_named_after_whom_they_are_for() {
        assert_eq!(profile(&"Alice".parse().unwrap()), "irp-edge-alice");
        assert_eq!(bucket("123456789012", "eu-central-1"), "irp-123456789012-eu-central-1");
        assert_eq!(program_key("ab"), "edge/ab");
        let name = "alice.example.com".parse().unwrap();
        assert_eq!(inbox_folder(&name), "inbox/alice.example.com/");
        assert_eq!(inbox_keys(&name), "/irp/inbox/alice.example.com");
    }
}
