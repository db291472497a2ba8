//! Errands of those who own names: a look into the inbox, and what is to become of what is in it.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use irp_wire::{
    errand::{Ask, Kept, NOTHING_KEPT, NUMBERS_MAX, PIECE_MAX, Talk, TalkError, Told},
    name::Hostname,
};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::inbox::{Entry, Inbox};

/// How many questions one errand may have.
const ASKS_MAX: usize = 100;

/// Answers until the client has no further question. It sees and changes events of `names` alone.
pub(super) async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    io: S,
    inbox: Option<&Inbox>,
    names: &[Hostname],
) -> Result<(), TalkError> {
    let mut talk = Talk::new(io);
    for _ in 0..ASKS_MAX {
        let Some(ask) = talk.hear::<Ask>().await? else { return Ok(()) };
        let Some(inbox) = inbox else {
            talk.say(&failed(NOTHING_KEPT)).await?;
            continue;
        };
        let own = Own { inbox, names };
        match ask {
            Ask::List => own.list(&mut talk).await?,
            Ask::Show { number } => own.show(number, &mut talk).await?,
            Ask::Deliver { numbers } | Ask::Drop { numbers } if numbers.len() > NUMBERS_MAX => {
                talk.say(&failed("these are too many numbers at once")).await?;
            }
            Ask::Deliver { numbers } => {
                let mut count = 0;
                for number in own.chosen(&numbers, |entry| entry.failed) {
                    count += u64::from(inbox.revive(number).await);
                }
                talk.say(&Told::Done { count }).await?;
            }
            Ask::Drop { numbers } => {
                let mut count = 0;
                for number in own.chosen(&numbers, |_| true) {
                    count += u64::from(inbox.discard(number).await);
                }
                talk.say(&Told::Done { count }).await?;
            }
            _ => talk.say(&failed("this edge does not know how to do that")).await?,
        }
    }
    Ok(())
}

fn failed(text: &str) -> Told {
    Told::Failed { text: text.to_owned() }
}

/// The part of an inbox that belongs to some names.
struct Own<'i> {
    inbox: &'i Inbox,
    names: &'i [Hostname],
}

impl Own<'_> {
    fn entries(&self) -> impl Iterator<Item = (u64, Entry)> {
        let entries = self.inbox.entries().into_iter();
        entries.filter(|(_, entry)| entry.durable && self.names.contains(&entry.queue.host))
    }

    /// The events of these numbers, or without numbers those that are meant then.
    fn chosen(&self, numbers: &[u64], meant: impl Fn(&Entry) -> bool) -> Vec<u64> {
        let is_meant = |(number, entry): &(u64, Entry)| {
            if numbers.is_empty() { meant(entry) } else { numbers.contains(number) }
        };
        self.entries().filter(is_meant).map(|(number, _)| number).collect()
    }

    fn kept(&self, number: u64, entry: Entry) -> Kept {
        Kept {
            number,
            host: entry.queue.host.to_string(),
            path: entry.queue.path,
            provider: entry.provider,
            kind: entry.kind,
            bytes: entry.size,
            parked_at_ms: entry.parked_at,
            kept_s: self.inbox.now().saturating_sub(entry.parked_at) / 1000,
            attempts: entry.attempts,
            failed: entry.failed,
        }
    }

    async fn list<S: AsyncRead + AsyncWrite + Unpin>(&self, talk: &mut Talk<S>) -> Result<(), TalkError> {
        let mut count = 0;
        for (number, entry) in self.entries().collect::<Vec<_>>() {
            talk.say(&Told::Event(self.kept(number, entry))).await?;
            count += 1;
        }
        talk.say(&Told::Done { count }).await
    }

    async fn show<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        number: u64,
        talk: &mut Talk<S>,
    ) -> Result<(), TalkError> {
        let found = self.entries().find(|(known, _)| *known == number);
        let event = self.inbox.read(number).await;
        let (Some((_, entry)), Ok(Some(event))) = (found, event) else {
            return talk.say(&failed("there is no such event (any more)")).await;
        };
        talk.say(&Told::Event(self.kept(number, entry))).await?;
        for (name, value) in &event.headers {
            let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
            talk.say(&Told::Header { name: name.to_string(), value }).await?;
        }
        for piece in event.body.chunks(PIECE_MAX) {
            talk.say(&Told::Piece { base64: BASE64_STANDARD.encode(piece) }).await?;
        }
        talk.say(&Told::Done { count: 1 }).await
    }
}
