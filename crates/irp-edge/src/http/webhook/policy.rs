//! The policies of a name: rules for paths, and the paths beside them that are open.

use std::sync::{Arc, Mutex, PoisonError};

use http::Method;
use irp_webhook::{KeyError, Provider, Replays, Secret, Seen, Settings, Verifier};
use irp_wire::policy;

use super::paths::{Path, PathError, plain};

/// The longest body that is read to verify it, in bytes.
pub const BODY_MAX: usize = 8 * 1024 * 1024;
/// How many rules and open paths one name may have.
const RULES_MAX: usize = 64;
/// How many secrets one rule may have.
const SECRETS_MAX: usize = 8;
/// How many signings each rule remembers against replays: some 10 MB for a busy hour of a busy name.
const REPLAYS_MAX: usize = 65_536;

/// What may come to which paths of a name. Prints without secrets.
#[derive(Clone, Debug)]
pub struct Policies {
    /// The longest path first.
    rules: Vec<Arc<Rule>>,
    open: Vec<Path>,
    body_max: usize,
    /// As a client told them, to know them again.
    told: Option<policy::Policies>,
}

/// Requests to one path come from one provider.
#[derive(Debug)]
pub struct Rule {
    path: Path,
    /// Let pass unverified, on GET alone: where people's browsers go.
    for_people: Vec<Path>,
    pub(crate) verifier: Verifier,
    pub(super) report: bool,
    pub(super) handshakes: bool,
    pub(super) inbox: bool,
    replays: Mutex<Replays>,
}

/// Why policies are of no use.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// No provider has this name.
    #[error("no webhook provider is called `{0}`")]
    Provider(String),
    /// The edge cannot verify this provider.
    #[error("{0} can be verified only with a certificate that this edge does not fetch")]
    Certificate(String),
    /// A secret is of no use.
    #[error("a secret for {provider} is of no use: {source}")]
    Key {
        /// For whom.
        provider: String,
        /// Why.
        source: KeyError,
    },
    /// A path is none.
    #[error(transparent)]
    Path(#[from] PathError),
    /// There are too many.
    #[error("there are too many policies, open paths or secrets")]
    TooMany,
}

/// To whom a path belongs.
#[derive(Debug)]
pub(super) enum Owner {
    /// A provider.
    Provider(Arc<Rule>),
    /// Everybody.
    Everybody,
    /// Nobody.
    Nobody,
}

impl Rule {
    /// Requests to `path`, or to the provider's usual one, come from `provider`, which shares `secrets`. With
    /// `report` they pass in any case; with `handshakes` the edge answers those of the provider.
    ///
    /// # Errors
    ///
    /// See [`PolicyError`].
    pub fn new(
        provider: Provider,
        path: Option<&str>,
        secrets: &[Secret],
        settings: Settings,
        report: bool,
        handshakes: bool,
    ) -> Result<Self, PolicyError> {
        if secrets.len() > SECRETS_MAX {
            return Err(PolicyError::TooMany);
        }
        if provider.needs_certificate() {
            return Err(PolicyError::Certificate(provider.manners().title.to_owned()));
        }
        let path = Path::new(path.unwrap_or(provider.manners().path))?;
        let for_people = provider.manners().for_people.iter().map(|part| path.join(part)).collect();
        let name = provider.name().to_owned();
        let verifier = Verifier::new(provider, secrets, settings)
            .map_err(|source| PolicyError::Key { provider: name, source })?;
        Ok(Self {
            path,
            for_people,
            verifier,
            report,
            handshakes,
            inbox: true,
            replays: Mutex::new(Replays::new(REPLAYS_MAX)),
        })
    }

    /// With `inbox`, events are kept while nobody is there to take them; this is the default.
    #[must_use]
    pub fn with_inbox(self, inbox: bool) -> Self {
        Self { inbox, ..self }
    }

    /// Notes a signing; where it was here before, it is a replay. `None` where a repeat means nothing.
    pub(super) fn see(&self, fingerprint: [u8; 32], now: std::time::SystemTime) -> Option<Seen> {
        let span = self.verifier.provider().replay_span()?;
        Some(self.replays.lock().unwrap_or_else(PoisonError::into_inner).see(fingerprint, now, span))
    }

    pub(super) fn forget(&self, fingerprint: &[u8; 32]) {
        self.replays.lock().unwrap_or_else(PoisonError::into_inner).forget(fingerprint);
    }
}

impl Policies {
    /// Rules, and the paths beside them that are open to everybody.
    ///
    /// # Errors
    ///
    /// When there are too many.
    pub fn new(rules: Vec<Rule>, open: Vec<Path>) -> Result<Self, PolicyError> {
        if rules.len() + open.len() > RULES_MAX {
            return Err(PolicyError::TooMany);
        }
        Ok(Self::sorted(rules.into_iter().map(Arc::new).collect(), open, BODY_MAX))
    }

    /// Those that a client sent.
    ///
    /// # Errors
    ///
    /// See [`PolicyError`].
    pub fn from_client(told: &policy::Policies) -> Result<Self, PolicyError> {
        let rule = |told: &policy::Policy| {
            let provider = Provider::named(&told.provider)
                .ok_or_else(|| PolicyError::Provider(short(&told.provider)))?;
            let secrets: Vec<Secret> =
                told.secrets.iter().map(|secret| Secret::new(secret.expose())).collect();
            let verify_token = told.verify_token.as_ref().map(|token| Secret::new(token.expose()));
            let settings = Settings { verify_token, learn: false };
            let path = told.path.as_deref();
            let rule = Rule::new(provider, path, &secrets, settings, told.report, told.handshakes)?;
            Ok::<_, PolicyError>(rule.with_inbox(told.inbox))
        };
        if told.policies.len() > RULES_MAX {
            return Err(PolicyError::TooMany);
        }
        let rules = told.policies.iter().map(rule).collect::<Result<Vec<_>, _>>()?;
        let open = told.open.iter().map(|path| Path::new(path)).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { told: Some(told.clone()), ..Self::new(rules, open)? })
    }

    /// Whether a client told both in the same words.
    pub(in crate::http) fn is_as_told(&self, other: &Self) -> bool {
        self.told.is_some() && self.told == other.told
    }

    /// With another limit for bodies, in bytes; see [`BODY_MAX`].
    #[must_use]
    pub fn with_body_max(self, body_max: usize) -> Self {
        Self { body_max, ..self }
    }

    /// These and `others` together; where both have a rule for a path, it is this one's.
    #[must_use]
    pub fn and(&self, others: &Self) -> Self {
        let rules = self.rules.iter().chain(&others.rules).cloned().collect();
        let open = self.open.iter().chain(&others.open).cloned().collect();
        Self::sorted(rules, open, self.body_max)
    }

    fn sorted(mut rules: Vec<Arc<Rule>>, open: Vec<Path>, body_max: usize) -> Self {
        // Stable: of equals, the first stays first.
        rules.sort_by_key(|rule| std::cmp::Reverse(rule.path.len()));
        Self { rules, open, body_max, told: None }
    }

    /// The longest body that is read to verify it, in bytes.
    pub(super) fn body_max(&self) -> usize {
        self.body_max
    }

    /// How a kept event of this path is signed anew; `None` where the path is no provider's any more.
    pub(crate) fn rule_of(&self, provider: &str, path: &str) -> Option<Arc<Rule>> {
        match self.owner(&Method::POST, path) {
            Owner::Provider(rule) if rule.verifier.provider().name() == provider => Some(rule),
            _ => None,
        }
    }

    /// To whom a request belongs.
    pub(super) fn owner(&self, method: &Method, path: &str) -> Owner {
        let Some(path) = plain(path) else { return Owner::Nobody };
        let Some(rule) = self.rules.iter().find(|rule| rule.path.holds(&path, false)) else {
            let is_open = self.open.iter().any(|open| open.holds(&path, true));
            return if is_open { Owner::Everybody } else { Owner::Nobody };
        };
        let is_get = matches!(*method, Method::GET | Method::HEAD);
        let is_for_people = is_get && rule.for_people.iter().any(|open| open.holds(&path, true));
        // An open path that is longer than the rule's was meant.
        let is_opened = self.open.iter().any(|open| open.len() > rule.path.len() && open.holds(&path, true));
        if is_for_people || is_opened { Owner::Everybody } else { Owner::Provider(Arc::clone(rule)) }
    }
}

fn short(text: &str) -> String {
    text.chars().filter(|letter| !letter.is_control()).take(40).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(provider: &str, path: Option<&str>) -> Rule {
        let provider = Provider::named(provider).unwrap();
        Rule::new(provider, path, &[Secret::new("x")], Settings::default(), false, true).unwrap()
    }

    fn owner(policies: &Policies, method: Method, path: &str) -> String {
        match policies.owner(&method, path) {
            Owner::Provider(rule) => rule.verifier.provider().name().to_owned(),
            Owner::Everybody => "everybody".into(),
            Owner::Nobody => "nobody".into(),
        }
    }

    #[test]
    fn the_longest_path_counts_and_what_is_not_named_is_closed() {
        let rules = vec![rule("github", Some("/")), rule("slack", None), rule("stripe", Some("/slack/pay"))];
        let policies = Policies::new(rules, vec![Path::new("/health").unwrap()]).unwrap();
        let post = |path: &str| owner(&policies, Method::POST, path);
        assert_eq!(post("/x"), "github");
        assert_eq!(post("/slack/events"), "slack");
        assert_eq!(post("/SLACK/events"), "slack");
        assert_eq!(post("/sl%61ck"), "slack");
        assert_eq!(post("/slack/pay/1"), "stripe");
        assert_eq!(post("/health/x"), "everybody");
        assert_eq!(post("/health/../slack"), "nobody");
        let only = Policies::new(vec![rule("slack", None)], Vec::new()).unwrap();
        assert_eq!(owner(&only, Method::GET, "/"), "nobody");
    }

    #[test]
    fn browsers_reach_the_pages_for_people_and_nothing_else() {
        let policies = Policies::new(vec![rule("slack", None)], Vec::new()).unwrap();
        assert_eq!(owner(&policies, Method::GET, "/slack/install"), "everybody");
        assert_eq!(owner(&policies, Method::GET, "/slack/oauth_redirect"), "everybody");
        assert_eq!(owner(&policies, Method::POST, "/slack/install"), "slack");
        assert_eq!(owner(&policies, Method::GET, "/slack/events"), "slack");
    }

    #[test]
    fn the_edges_own_rules_go_before_those_of_a_client() {
        let own = Policies::new(vec![rule("slack", Some("/hook"))], Vec::new()).unwrap();
        let others =
            Policies::new(vec![rule("github", Some("/hook")), rule("stripe", Some("/pay"))], Vec::new());
        let both = own.and(&others.unwrap());
        assert_eq!(owner(&both, Method::POST, "/hook"), "slack");
        assert_eq!(owner(&both, Method::POST, "/pay"), "stripe");
    }

    #[test]
    fn policies_of_a_client_are_looked_at() {
        let told = |provider: &str, path: Option<&str>| {
            let policy = policy::Policy {
                provider: provider.into(),
                path: path.map(Into::into),
                secrets: vec![policy::SecretText::new("x")],
                verify_token: None,
                report: false,
                handshakes: true,
                inbox: true,
            };
            Policies::from_client(&policy::Policies { policies: vec![policy], open: Vec::new() })
        };
        assert!(told("slack", None).is_ok());
        assert!(matches!(told("nobody", None), Err(PolicyError::Provider(_))));
        assert!(matches!(told("slack", Some("x")), Err(PolicyError::Path(_))));
        assert!(matches!(told("discord", None), Err(PolicyError::Key { .. })));
        assert!(matches!(told("sns", None), Err(PolicyError::Certificate(_))));
    }
}
