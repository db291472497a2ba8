//! How a provider behaves, beyond its signatures: how long it waits, what it calls its events, how it tries
//! again, which handshake it wants, and for whom people wait.

use std::time::Duration;

/// How long a provider waits for an answer where nothing is known about it.
pub const DEADLINE: Duration = Duration::from_secs(10);

/// A provider's manners.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Manners {
    /// The provider's own spelling of its name.
    pub title: &'static str,
    /// The environment variable with the secret.
    pub variable: &'static str,
    /// The paths that its requests come to, unless something else is said: this one and all below.
    pub path: &'static str,
    /// Pages below its path that people's browsers get, unsigned.
    pub for_people: &'static [&'static str],
    /// How long it waits for an answer.
    pub deadline: Duration,
    /// Whether it sends the very same bytes, time and signature again when it had no answer. Such a repeat is
    /// no attack.
    pub repeats_bytes: bool,
    /// Whether only a person has a delivery sent again, who wants it to arrive though it had arrived before.
    pub again_by_people: bool,
    /// Where the kind of event stands: `header:NAME` or `body:KEY.KEY`; the first that is there.
    pub(crate) kind: &'static [&'static str],
    /// The header that counts the retries; empty where there is none.
    pub(crate) retry: &'static str,
    pub(crate) handshake: Flow,
    pub(crate) people: People,
}

impl Manners {
    /// Those of a provider of which nothing is known.
    pub const PLAIN: Self = Self {
        title: "",
        variable: "",
        path: "/",
        for_people: &[],
        deadline: DEADLINE,
        repeats_bytes: false,
        again_by_people: false,
        kind: &[],
        retry: "",
        handshake: Flow::None,
        people: People::Nobody,
    };
}

/// Which handshake a provider wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flow {
    None,
    Slack,
    Discord,
    Zoom,
    Meta,
    Dropbox,
    Asana,
    Twitch,
    Sns,
    /// An empty list of events, from the console's button.
    Line,
    /// A HEAD request to see whether the URL is there.
    Head,
}

/// Whose requests a person waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum People {
    /// All are events.
    Nobody,
    Slack,
    Discord,
    /// All: an outgoing webhook is a question in a channel.
    Teams,
    Twilio,
}
