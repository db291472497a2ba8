//! The policies of a name: rules for paths, and the paths beside them that are open.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use arc_swap::ArcSwap;
use http::{HeaderValue, Method};
use irp_webhook::{KeyError, Provider, Replays, Row, RowError, Secret, Seen, Settings, Verifier};
use irp_wire::policy;

use super::paths::{Path, PathError, plain};
use crate::{certs::store::BlobName, metrics::Column};

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
    provider: Provider,
    /// The provider's name for the upstream.
    pub(super) verified: Option<HeaderValue>,
    /// Replaced while the edge runs, when its secrets are.
    verifier: ArcSwap<Verifier>,
    pub(super) report: bool,
    pub(super) handshakes: bool,
    pub(super) inbox: bool,
    /// Under which name the store keeps a secret that the provider tells.
    kept: OnceLock<BlobName>,
    /// Where the provider's counters are.
    pub(super) column: Column,
    replays: Mutex<Replays>,
}

/// Why policies are of no use.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// No provider has this name.
    #[error("no webhook provider is called `{0}`")]
    Provider(String),
    /// The row of a provider does not read.
    #[error("the row of the webhook provider `{0}` is of no use")]
    Row(String, #[source] RowError),
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

/// Whether a signing was here before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sight {
    /// It was not.
    New,
    /// It was, and its time allows no second one.
    Replay,
    /// It was: the provider delivers again, or somebody else does. Nobody can tell.
    Repeat,
    /// All signings are alike.
    Unknown,
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
        let name = provider.name().to_owned();
        let verifier = Verifier::new(provider, secrets, settings)
            .map_err(|source| PolicyError::Key { provider: name, source })?;
        Ok(Self { report, handshakes, ..Self::of(verifier, path)? })
    }

    /// The same while the secret cannot be read: nothing passes until [`Policies::replace_secrets`].
    ///
    /// # Errors
    ///
    /// When the path is none.
    pub fn closed(provider: Provider, path: Option<&str>) -> Result<Self, PolicyError> {
        Self::of(Verifier::closed(provider), path)
    }

    fn of(verifier: Verifier, path: Option<&str>) -> Result<Self, PolicyError> {
        let provider = verifier.provider().clone();
        let path = Path::new(path.unwrap_or(provider.manners().path))?;
        let for_people = provider.manners().for_people.iter().map(|part| path.join(part)).collect();
        let column = Column::of(&provider);
        let verified = HeaderValue::try_from(provider.name()).ok();
        Ok(Self {
            path,
            for_people,
            provider,
            verified,
            verifier: ArcSwap::from_pointee(verifier),
            report: false,
            handshakes: true,
            inbox: true,
            kept: OnceLock::new(),
            column,
            replays: Mutex::new(Replays::new(REPLAYS_MAX)),
        })
    }

    /// With `inbox`, events are kept while nobody is there to take them; this is the default.
    #[must_use]
    pub fn with_inbox(self, inbox: bool) -> Self {
        Self { inbox, ..self }
    }

    /// Whose requests come to the path.
    pub(crate) fn provider(&self) -> &Provider {
        &self.provider
    }

    /// The path, with all below it.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// What verifies them now.
    pub(crate) fn verifier(&self) -> Arc<Verifier> {
        self.verifier.load_full()
    }

    /// Where a secret that the provider tells is kept; the first answer counts.
    pub(super) fn kept_as(&self, name: impl FnOnce() -> BlobName) -> &BlobName {
        self.kept.get_or_init(name)
    }

    /// The same, once it is known.
    pub(super) fn kept(&self) -> Option<&BlobName> {
        self.kept.get()
    }

    /// Takes the first secret that the provider told. Says whether it was the first.
    pub(super) fn learn(&self, secret: &Secret) -> bool {
        let before = self.verifier.load();
        if !before.is_learning() {
            return false;
        }
        let Ok(taught) = before.with_secrets(std::slice::from_ref(secret)) else { return false };
        let found = self.verifier.compare_and_swap(&*before, Arc::new(taught));
        Arc::ptr_eq(&found, &before)
    }

    /// Notes a signing, and tells one that was here before.
    pub(super) fn see(&self, fingerprint: [u8; 32], now: std::time::SystemTime) -> Sight {
        let (span, before) = match (self.provider.replay_span(), self.provider.repeat_span()) {
            (Some(span), _) => (span, Sight::Replay),
            (None, Some(span)) => (span, Sight::Repeat),
            (None, None) => return Sight::Unknown,
        };
        match self.replays.lock().unwrap_or_else(PoisonError::into_inner).see(fingerprint, now, span) {
            Seen::New => Sight::New,
            Seen::Again => before,
        }
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
            let provider = provider(&told.provider, told.row.as_ref())?;
            let secrets: Vec<Secret> =
                told.secrets.iter().map(|secret| Secret::new(secret.expose())).collect();
            let verify_token = told.verify_token.as_ref().map(|token| Secret::new(token.expose()));
            let learn = told.handshakes && provider.learns_secret() && secrets.is_empty();
            let settings = Settings { verify_token, learn };
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

    /// Rules whose secret the provider has yet to tell.
    pub(super) fn learning(&self) -> impl Iterator<Item = &Arc<Rule>> {
        self.rules.iter().filter(|rule| rule.verifier.load().is_learning())
    }

    /// Lets these secrets count from now on, in the place of those before, for all rules.
    ///
    /// # Errors
    ///
    /// When one is of no use; then nothing changes.
    pub fn replace_secrets(&self, secrets: &[Secret]) -> Result<(), PolicyError> {
        let fresh = |rule: &Arc<Rule>| {
            let verifier = rule.verifier.load().with_secrets(secrets);
            let provider = rule.provider.name().to_owned();
            verifier.map(Arc::new).map_err(|source| PolicyError::Key { provider, source })
        };
        let fresh = self.rules.iter().map(fresh).collect::<Result<Vec<_>, _>>()?;
        self.rules.iter().zip(fresh).for_each(|(rule, verifier)| rule.verifier.store(verifier));
        Ok(())
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
            Owner::Provider(rule) if rule.provider.name() == provider => Some(rule),
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

/// The provider of irp's table by this name, or the one that `row` describes.
///
/// # Errors
///
/// When there is none, or the row does not read.
pub fn provider(name: &str, row: Option<&policy::Row>) -> Result<Provider, PolicyError> {
    let Some(row) = row else {
        return Provider::named(name).ok_or_else(|| PolicyError::Provider(short(name)));
    };
    let row = Row {
        signature: &row.signature,
        format: row.format.as_deref().unwrap_or(Row::PLAIN.format),
        encoding: row.encoding.as_deref().unwrap_or(Row::PLAIN.encoding),
        algorithm: row.algorithm.as_deref().unwrap_or(Row::PLAIN.algorithm),
        key: row.key.as_deref().unwrap_or(Row::PLAIN.key),
        template: row.template.as_deref().unwrap_or(Row::PLAIN.template),
        timestamp: row.timestamp.as_deref().unwrap_or(Row::PLAIN.timestamp),
        tolerance: row.tolerance.unwrap_or(Row::PLAIN.tolerance),
        id: row.id.as_deref().unwrap_or(Row::PLAIN.id),
    };
    Provider::custom(name, &row).map_err(|error| PolicyError::Row(short(name), error))
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
            Owner::Provider(rule) => rule.provider.name().to_owned(),
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
        let told = |provider: &str, path: Option<&str>, row: Option<policy::Row>| {
            let policy = policy::Policy {
                provider: provider.into(),
                path: path.map(Into::into),
                secrets: vec![policy::SecretText::new("x")],
                verify_token: None,
                report: false,
                handshakes: true,
                inbox: true,
                row,
            };
            Policies::from_client(&policy::Policies { policies: vec![policy], open: Vec::new() })
        };
        let row =
            |signature: &str| Some(policy::Row { signature: signature.into(), ..policy::Row::default() });
        assert!(told("slack", None, None).is_ok());
        assert!(matches!(told("nobody", None, None), Err(PolicyError::Provider(_))));
        assert!(matches!(told("slack", Some("x"), None), Err(PolicyError::Path(_))));
        assert!(matches!(told("discord", None, None), Err(PolicyError::Key { .. })));
        assert!(matches!(told("sns", None, None), Err(PolicyError::Key { .. })));
        assert!(told("nobody", None, row("x-nobody")).is_ok());
        assert!(matches!(told("nobody", None, row("x:y")), Err(PolicyError::Row(..))));
        assert!(matches!(told("slack", None, row("x-slack")), Err(PolicyError::Row(..))));
    }
}
