//! What does not work at the moment and is tried again, for whoever asks how the edge is.

use std::collections::BTreeMap;

use tokio::sync::watch;

/// The list of troubles, one sentence for each part of the edge that has one. Clones are the same list.
#[derive(Clone, Debug, Default)]
pub struct Troubles(watch::Sender<BTreeMap<&'static str, String>>);

impl Troubles {
    /// This part does not work, and why.
    pub fn set(&self, part: &'static str, text: impl Into<String>) {
        let text = text.into();
        self.0.send_if_modified(|all| all.insert(part, text.clone()).is_none_or(|before| before != text));
    }

    /// This part works.
    pub fn clear(&self, part: &'static str) {
        self.0.send_if_modified(|all| all.remove(part).is_some());
    }

    /// All sentences.
    #[must_use]
    pub fn list(&self) -> Vec<String> {
        self.0.borrow().values().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_has_one_trouble_until_it_works_again() {
        let troubles = Troubles::default();
        troubles.clone().set("records", "no route");
        troubles.set("records", "refused");
        troubles.set("certificate", "no answer");
        assert_eq!(troubles.list(), ["no answer", "refused"]);
        troubles.clear("certificate");
        troubles.clear("certificate");
        assert_eq!(troubles.list(), ["refused"]);
    }
}
