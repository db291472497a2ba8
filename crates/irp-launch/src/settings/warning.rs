//! What a person should know before a machine starts, though nothing is wrong.

use std::fmt;

use super::{Engine, Key, Settings};
use crate::{price, values::Label};

/// A sentence for the person; the work goes on.
#[derive(Clone, Debug, PartialEq)]
pub enum Warning {
    /// The text is a secret: user-data can be read by everybody on the machine, so it is not in it.
    SecretStaysHere {
        /// Its key.
        key: Key,
        /// The host name, which is part of where the secret belongs.
        host: Label,
    },
    /// Neither the idle timer nor a maximum life ends the machine.
    NeverEnds {
        /// What a month costs, where the price of the machine is known.
        month: Option<price::Dollars>,
    },
    /// The file's name does not tell for which processor it is.
    UnknownArchitecture {
        /// The key of its URL.
        key: Key,
    },
    /// What it means that the machine has no role.
    NoRole,
    /// Caddy passes on what it gets.
    NoSignatures,
    /// There is nothing to compare the download with.
    NoHash {
        /// The key that would have it.
        key: Key,
    },
    /// The setting means nothing to engine `caddy`.
    NotWithCaddy {
        /// Its key.
        key: Key,
    },
}

/// Those that follow from settings as a whole.
pub(super) fn of(settings: &Settings) -> Vec<Warning> {
    let mut warnings = Vec::new();
    if settings.idle.value.seconds() == 0 && settings.max_life.value.seconds() == 0 {
        let kind = settings.instance_type.as_ref().map(|kind| &kind.value);
        warnings.push(Warning::NeverEnds {
            month: price::month(kind.map_or(price::DEFAULT_TYPE, |kind| kind.as_str())),
        });
    }
    if settings.no_role.value {
        warnings.push(Warning::NoRole);
    }
    if let Engine::Caddy(archive) = &settings.engine.value {
        warnings.push(Warning::NoSignatures);
        if archive.sha256.is_none() {
            warnings.push(Warning::NoHash { key: Key::CaddySha256 });
        }
        if settings.slack_secret.is_some() {
            warnings.push(Warning::NotWithCaddy { key: Key::SlackSigningSecret });
        }
    }
    warnings
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SecretStaysHere { key, host } => write!(
                f,
                "{key} is not passed on: everybody on the machine can read user-data. Store it as \
                 ssm:/irp/secret/{host}/slack in the Parameter Store, and set {key} to that reference"
            ),
            Self::NeverEnds { month: Some(month) } => write!(
                f,
                "nothing ends this machine, SHUTDOWN_TIMER_HOUR and MAX_LIFE_HOUR are both 0: about ${month} a \
                 month (prices of {})",
                price::AS_OF
            ),
            Self::NeverEnds { month: None } => f.write_str(
                "nothing ends this machine, SHUTDOWN_TIMER_HOUR and MAX_LIFE_HOUR are both 0: it costs money \
                 until you end it",
            ),
            Self::UnknownArchitecture { key } => write!(
                f,
                "the name of the file in {key} does not tell for which processor it is: make sure that it fits \
                 the machine"
            ),
            Self::NoRole => f.write_str(
                "without a role (NO_ROLE) the PC that launches sets the record of the name, which stays behind when the \
                 machine ends by itself; certificates are not kept between launches (five a week for one name); and \
                 whoever gets the machine's address after it could prove the name by it",
            ),
            Self::NoSignatures => {
                f.write_str("engine caddy verifies no signatures of webhooks: your program has to")
            }
            Self::NoHash { key } => {
                write!(f, "{key} is not set: the machine cannot tell whether it downloaded the right file")
            }
            Self::NotWithCaddy { key } => write!(f, "{key} means nothing to engine caddy"),
        }
    }
}
