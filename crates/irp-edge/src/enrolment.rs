//! Keys that the configuration does not name, and that may connect all the same: whoever may push a key to the machine
//! (SendSSHPublicKey in AWS) is let in. The machine is asked only when an unknown key says hello.

use std::{fmt, sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use irp_wire::{
    key::PublicKey,
    name::{Hostname, NamePattern},
};
use tokio::{
    sync::Mutex,
    time::{Instant, timeout},
};

use crate::keys::Grant;

/// How long the machine may take to answer; the peer waits for its verdict meanwhile.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);

/// What messages call the holder of such a key.
const COMMENT: &str = "a pushed key";

/// Where keys are that were pushed to the machine.
pub trait PushedKeys: fmt::Debug + Send + Sync {
    /// Those that are good at this moment; none where the machine cannot tell, which goes to the log.
    fn active(&self) -> BoxFuture<'_, Vec<PublicKey>>;
}

/// Who is let in beyond the configured keys, and to which names.
#[derive(Debug)]
pub struct Enrolment {
    names: Vec<NamePattern>,
    pushed: Arc<dyn PushedKeys>,
    asked: Mutex<Option<Asked>>,
}

/// The machine's last answer.
#[derive(Debug)]
struct Asked {
    began: Instant,
    keys: Vec<PublicKey>,
}

impl Enrolment {
    /// Pushed keys may claim `names`.
    #[must_use]
    pub fn new(names: &[Hostname], pushed: Arc<dyn PushedKeys>) -> Self {
        let names = names.iter().filter_map(|name| name.as_str().parse().ok()).collect();
        Self { names, pushed, asked: Mutex::default() }
    }

    /// What `key` may do, if it was pushed.
    ///
    /// One question to the machine is under way at a time, and answers all who came before it: a thousand strangers
    /// with unknown keys cost no more than one after the other.
    pub(crate) async fn grant(&self, key: &PublicKey) -> Option<Grant> {
        let came = Instant::now();
        let looked = timeout(ANSWER_WITHIN, self.is_pushed(key, came)).await;
        if !looked.unwrap_or_default() {
            return None;
        }
        Some(Grant { key: *key, names: self.names.clone(), comment: COMMENT.to_owned() })
    }

    async fn is_pushed(&self, key: &PublicKey, came: Instant) -> bool {
        let mut asked = self.asked.lock().await;
        if let Some(asked) = asked.as_ref().filter(|asked| asked.began >= came) {
            return asked.keys.contains(key);
        }
        let began = Instant::now();
        let keys = self.pushed.active().await;
        let is_pushed = keys.contains(key);
        *asked = Some(Asked { began, keys });
        is_pushed
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Mutex as Lock,
        atomic::{AtomicUsize, Ordering::SeqCst},
    };

    use futures_util::future::join_all;
    use irp_wire::key::SecretKey;

    use super::*;

    #[derive(Debug, Default)]
    struct Folder {
        keys: Lock<Vec<PublicKey>>,
        asked: AtomicUsize,
        takes: Duration,
    }

    impl PushedKeys for Folder {
        fn active(&self) -> BoxFuture<'_, Vec<PublicKey>> {
            Box::pin(async {
                self.asked.fetch_add(1, SeqCst);
                tokio::time::sleep(self.takes).await;
                self.keys.lock().unwrap().clone()
            })
        }
    }

    fn enrolment(folder: &Arc<Folder>) -> Enrolment {
        Enrolment::new(&["alice.example".parse().unwrap()], folder.clone())
    }

    #[tokio::test(start_paused = true)]
    async fn a_pushed_key_is_granted_the_names_and_nothing_is_asked_twice_at_once() {
        let folder = Arc::new(Folder { takes: Duration::from_millis(100), ..Folder::default() });
        let enrolment = enrolment(&folder);
        let [pushed, stranger] = [(); 2].map(|()| SecretKey::generate().unwrap().public_key());
        assert!(enrolment.grant(&pushed).await.is_none());
        folder.keys.lock().unwrap().push(pushed);
        let grant = enrolment.grant(&pushed).await.unwrap();
        assert_eq!(grant.names.iter().map(ToString::to_string).collect::<Vec<_>>(), ["alice.example"]);
        assert!(enrolment.grant(&stranger).await.is_none());

        // All who come while a question is under way share the next one.
        let before = folder.asked.load(SeqCst);
        let strangers = (0..20).map(|_| enrolment.grant(&stranger));
        assert!(join_all(strangers).await.iter().all(Option::is_none));
        assert!(folder.asked.load(SeqCst) - before <= 2, "{}", folder.asked.load(SeqCst) - before);
    }

    #[tokio::test(start_paused = true)]
    async fn a_machine_that_does_not_answer_lets_nobody_in() {
        let folder = Arc::new(Folder { takes: Duration::from_secs(3600), ..Folder::default() });
        let key = SecretKey::generate().unwrap().public_key();
        folder.keys.lock().unwrap().push(key);
        let began = Instant::now();
        assert!(enrolment(&folder).grant(&key).await.is_none());
        assert!(began.elapsed() < ANSWER_WITHIN * 2);
    }
}
