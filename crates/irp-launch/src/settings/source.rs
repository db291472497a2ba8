//! Where settings come from.

use std::{collections::BTreeMap, fmt};

use super::Key;

/// The place where a setting was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Typed on the command line.
    Flag,
    /// A variable of the environment.
    Environment,
    /// A file, by its name as it is to be shown: `.env`, `irp.toml`.
    File(String),
    /// The name of the user, which stands for a host name that nobody set.
    User,
    /// Follows from another setting.
    Follows(Key),
    /// Nobody set it.
    Default,
}

impl Source {
    /// The source in words, for `key`.
    #[must_use]
    pub fn of(&self, key: Key) -> String {
        match self {
            Self::Flag => format!("--{}", key.flag()),
            Self::Environment => "the environment".to_owned(),
            Self::File(name) => name.clone(),
            Self::User => "your user name".to_owned(),
            Self::Follows(other) => format!("follows from {other}"),
            Self::Default => "the default".to_owned(),
        }
    }
}

/// Texts that were set, from the source that counts most to the one that counts least.
#[derive(Clone, Default)]
pub struct Layers {
    layers: Vec<(Source, BTreeMap<Key, String>)>,
    user: Option<String>,
}

impl Layers {
    /// None yet. `user` is the name of the user, the host name where nobody sets one.
    #[must_use]
    pub fn new(user: Option<String>) -> Self {
        Self { layers: Vec::new(), user }
    }

    /// Adds a source that counts less than those before it. A text that is empty sets nothing, so that
    /// `CADDY_DL_URL=` in a file means what it says.
    pub fn push(&mut self, source: Source, texts: impl IntoIterator<Item = (Key, String)>) {
        let texts = texts.into_iter().map(|(key, text)| (key, text.trim().to_owned()));
        self.layers.push((source, texts.filter(|(_, text)| !text.is_empty()).collect()));
    }

    /// Adds a source that counts more than all others.
    pub fn put_first(&mut self, source: Source, texts: impl IntoIterator<Item = (Key, String)>) {
        self.push(source, texts);
        self.layers.rotate_right(1);
    }

    /// The text that counts, and its source; the default where nobody set one.
    #[must_use]
    pub fn find(&self, key: Key) -> Option<(&str, Source)> {
        let set =
            self.layers.iter().find_map(|(source, texts)| Some((texts.get(&key)?.as_str(), source.clone())));
        let user = || Some((self.user.as_deref()?, Source::User)).filter(|_| key == Key::HostName);
        set.or_else(user).or_else(|| Some((key.default()?, Source::Default)))
    }

    /// Whether machines run Caddy: that is said, or follows from where it comes from.
    #[must_use]
    pub fn names_caddy(&self) -> bool {
        match self.find(Key::Engine) {
            Some((engine, _)) => engine == "caddy",
            None => self.find(Key::CaddyDlUrl).is_some(),
        }
    }
}

/// Without the texts: among them may be a secret.
impl fmt::Debug for Layers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys = self.layers.iter().map(|(source, texts)| (source, texts.keys().collect::<Vec<_>>()));
        f.debug_map().entries(keys).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_source_that_has_a_text_counts() {
        let mut layers = Layers::new(Some("alice".into()));
        layers.push(Source::Flag, [(Key::UpstreamPort, String::new())]);
        layers.push(Source::Environment, [(Key::UpstreamPort, " 4000\n".into())]);
        layers.push(
            Source::File(".env".into()),
            [(Key::UpstreamPort, "5000".into()), (Key::Locale, "C".into())],
        );
        assert_eq!(layers.find(Key::UpstreamPort), Some(("4000", Source::Environment)));
        assert_eq!(layers.find(Key::Locale), Some(("C", Source::File(".env".into()))));
        assert_eq!(layers.find(Key::Timezone), Some(("UTC", Source::Default)));
        assert_eq!(layers.find(Key::HostName), Some(("alice", Source::User)));
        assert_eq!(layers.find(Key::KmsKey), None);
        layers.put_first(Source::Default, [(Key::UpstreamPort, "6000".into())]);
        assert_eq!(layers.find(Key::UpstreamPort), Some(("6000", Source::Default)));
    }

    #[test]
    fn layers_do_not_print_their_texts() {
        let mut layers = Layers::new(None);
        layers.push(Source::Environment, [(Key::SlackSigningSecret, "s3cret".into())]);
        let shown = format!("{layers:?}");
        assert!(shown.contains("SlackSigningSecret") && !shown.contains("s3cret"), "{shown}");
    }
}
