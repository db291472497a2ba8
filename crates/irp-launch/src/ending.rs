//! Why a machine is gone, and whether to launch another in its place.

/// What ended a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Somebody ended it: `irp down`, the console, a policy of the account.
    Asked,
    /// Its own system powered off: the idle time or the maximum life is over.
    PoweredOff,
    /// AWS took it, or it failed; the words are AWS's.
    Lost(String),
    /// The account lacks what it needs (a key, a snapshot, room for its volume), so another would end alike.
    Unusable(String),
    /// AWS knows nothing of it any more, so it is gone for an hour or longer.
    Forgotten,
}

impl Ending {
    /// Reads EC2's reason for a state, such as `Server.SpotInstanceTermination: Spot instance termination`; `None` is
    /// that AWS does not know the machine.
    #[must_use]
    pub fn of(reason: Option<&str>) -> Self {
        let Some(reason) = reason else { return Self::Forgotten };
        let code = reason.split(':').next().unwrap_or_default().trim();
        match code {
            "Client.InstanceInitiatedShutdown" => Self::PoweredOff,
            "Client.InternalError" | "Client.InvalidSnapshot.NotFound" | "Client.VolumeLimitExceeded" => {
                Self::Unusable(reason.to_owned())
            }
            _ if code.starts_with("Client.") => Self::Asked,
            _ => Self::Lost(reason.to_owned()),
        }
    }

    /// Whether another machine is to take its place.
    #[must_use]
    pub fn is_a_loss(&self) -> bool {
        matches!(self, Self::Lost(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_nobody_wanted_is_a_loss() {
        for (reason, loss) in [
            ("Client.UserInitiatedShutdown: User initiated shutdown", false),
            ("Client.InstanceInitiatedShutdown: Instance initiated shutdown", false),
            ("Client.UserInitiatedHibernate: x", false),
            ("Server.SpotInstanceTermination: Spot instance termination", true),
            ("Server.InternalError: Internal error on launch", true),
            ("Server.ScheduledStop: Stopped due to a scheduled retirement", true),
            ("Client.InternalError: Client error on launch", false),
            ("", true),
        ] {
            assert_eq!(Ending::of(Some(reason)).is_a_loss(), loss, "{reason}");
        }
        assert!(!Ending::of(None).is_a_loss());
        assert_eq!(Ending::of(Some("Client.InstanceInitiatedShutdown: x")), Ending::PoweredOff);
    }
}
