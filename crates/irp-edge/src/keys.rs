//! Whose key may claim which names: the `[[key]]` tables of `edge.toml`.

use irp_wire::{
    hello::{Refusal, RefusalCode},
    key::PublicKey,
    name::{Hostname, NamePattern},
};
use tokio::sync::watch;

/// What one key may do.
#[derive(Clone, Debug)]
pub struct Grant {
    /// The key.
    pub key: PublicKey,
    /// The names that it may claim.
    pub names: Vec<NamePattern>,
    /// Whose key it is, for messages; the comment of the key's line.
    pub comment: String,
}

/// So many keys can be enrolled; who may push keys to a machine could push without end.
const ENROLLED_MAX: usize = 256;

/// The keys that an edge knows.
#[derive(Clone, Debug, Default)]
pub struct Keys {
    grants: Vec<Grant>,
    /// Those that the configuration does not name.
    enrolled: Vec<Grant>,
}

impl Keys {
    /// The keys with their grants; several grants of one key add up.
    #[must_use]
    pub fn new(grants: Vec<Grant>) -> Self {
        Self { grants, enrolled: Vec::new() }
    }

    /// Takes in a key that the configuration does not name.
    pub(crate) fn enrol(&mut self, grant: Grant) {
        self.enrolled.retain(|known| known.key != grant.key);
        if self.enrolled.len() >= ENROLLED_MAX {
            self.enrolled.remove(0);
        }
        self.enrolled.push(grant);
    }

    /// With the keys that were enrolled with `before`: the configuration has not let them in, nor can it put them out.
    pub(crate) fn with_enrolled_of(self, before: &Self) -> Self {
        Self { enrolled: before.enrolled.clone(), ..self }
    }

    fn grants_of(&self, key: &PublicKey) -> impl Iterator<Item = &Grant> + Clone {
        self.grants.iter().chain(&self.enrolled).filter(move |grant| grant.key == *key)
    }

    /// All grants of the configuration, as they were given.
    #[must_use]
    pub fn grants(&self) -> &[Grant] {
        &self.grants
    }

    /// Whether `key` may claim all of `names`.
    ///
    /// # Errors
    ///
    /// With the sentence for the person: the key is unknown, or which name is not theirs and which are.
    pub fn check(&self, key: &PublicKey, names: &[Hostname]) -> Result<(), Refusal> {
        let grants: Vec<&Grant> = self.grants_of(key).collect();
        if grants.is_empty() {
            let fingerprint = key.fingerprint();
            let text = format!(
                "this edge does not know your key {fingerprint}; have it added as a [[key]] in its edge.toml"
            );
            return Err(Refusal::new(RefusalCode::UnknownKey, text));
        }
        let patterns = || grants.iter().flat_map(|grant| &grant.names);
        for name in names {
            if !patterns().any(|pattern| pattern.matches(name)) {
                let own: Vec<String> = patterns().map(ToString::to_string).collect();
                let own = own.join(", ");
                let text = format!("your key may not claim {name}; it may claim: {own}");
                return Err(Refusal::new(RefusalCode::NameNotAllowed, text));
            }
        }
        Ok(())
    }

    /// How messages call the holder of `key`: the comment where there is one, and the fingerprint.
    #[must_use]
    pub fn describe(&self, key: &PublicKey) -> String {
        let comment = self.grants_of(key).find(|grant| !grant.comment.is_empty());
        let fingerprint = key.fingerprint();
        comment.map_or_else(|| fingerprint.clone(), |grant| format!("{} ({fingerprint})", grant.comment))
    }

    /// The names that are granted as they stand, without a star.
    pub fn exact_names(&self) -> impl Iterator<Item = Hostname> + '_ {
        self.grants.iter().flat_map(|grant| &grant.names).filter_map(|name| name.to_string().parse().ok())
    }
}

/// The keys of a running edge. Clones share one list.
#[derive(Clone, Debug)]
pub struct KeyList(watch::Sender<Keys>);

impl KeyList {
    /// The list, and what follows it.
    pub(crate) fn new(keys: Keys) -> (Self, watch::Receiver<Keys>) {
        let (sender, receiver) = watch::channel(keys);
        (Self(sender), receiver)
    }

    /// Has the edge know these keys instead. Sessions that may not hold their names any more are told so and end;
    /// all others go on.
    pub fn replace(&self, keys: Keys) {
        self.0.send_replace(keys);
    }
}

#[cfg(test)]
mod tests {
    use irp_wire::key::SecretKey;

    use super::*;

    #[test]
    fn a_key_claims_only_what_it_was_granted() {
        let key = SecretKey::generate().unwrap().public_key();
        let stranger = SecretKey::generate().unwrap().public_key();
        let grant = |names: &[&str]| Grant {
            key,
            names: names.iter().map(|name| name.parse().unwrap()).collect(),
            comment: "alice@laptop".into(),
        };
        let keys = Keys::new(vec![grant(&["a.example"]), grant(&["*.a.example"])]);
        let names = |list: &[&str]| list.iter().map(|name| name.parse().unwrap()).collect::<Vec<Hostname>>();
        assert!(keys.check(&key, &names(&["a.example", "b.a.example"])).is_ok());
        let error = keys.check(&key, &names(&["a.example", "b.example"])).unwrap_err();
        assert_eq!(error.code, RefusalCode::NameNotAllowed);
        assert!(error.message.contains("b.example") && error.message.contains("*.a.example"));
        let error = keys.check(&stranger, &names(&["a.example"])).unwrap_err();
        assert_eq!(error.code, RefusalCode::UnknownKey);
        assert!(error.message.contains(&stranger.fingerprint()));
        assert!(keys.describe(&key).starts_with("alice@laptop (SHA256:"));
        assert_eq!(keys.exact_names().collect::<Vec<_>>(), names(&["a.example"]));
    }

    #[test]
    fn an_enrolled_key_stays_when_the_configuration_changes() {
        let [alice, bob] = [(); 2].map(|()| SecretKey::generate().unwrap().public_key());
        let grant = |key| Grant { key, names: vec!["a.example".parse().unwrap()], comment: String::new() };
        let mut keys = Keys::new(vec![grant(alice)]);
        keys.enrol(grant(bob));
        let name = ["a.example".parse().unwrap()];
        assert!(keys.check(&alice, &name).is_ok() && keys.check(&bob, &name).is_ok());
        assert_eq!(keys.grants().len(), 1);
        let keys = Keys::default().with_enrolled_of(&keys);
        assert!(keys.check(&alice, &name).is_err() && keys.check(&bob, &name).is_ok());
        let mut keys = keys;
        for _ in 0..ENROLLED_MAX {
            keys.enrol(grant(SecretKey::generate().unwrap().public_key()));
        }
        assert!(keys.check(&bob, &name).is_err(), "the oldest one makes room");
    }
}
