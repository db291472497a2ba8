//! What everybody should know who is connected, or who comes later: that the machine ends at a certain time, say.

use tokio::sync::watch;

/// So many notices are kept; the machine has fewer to give.
const NOTICES_MAX: usize = 16;

/// The board to which notices are put up. Clones are the same board.
#[derive(Clone, Debug, Default)]
pub struct Notices(watch::Sender<Vec<String>>);

impl Notices {
    /// Puts up one more sentence, which stays. Name a time rather than a span: it is also read by those who come later.
    pub fn post(&self, text: impl Into<String>) {
        self.0.send_if_modified(|texts| {
            let fits = texts.len() < NOTICES_MAX;
            if fits {
                texts.push(text.into());
            }
            fits
        });
    }

    /// All of them.
    #[must_use]
    pub fn texts(&self) -> Vec<String> {
        self.0.borrow().clone()
    }

    /// Somebody who reads all of them, the old ones first.
    #[must_use]
    pub fn reader(&self) -> Reader {
        Reader { board: self.0.subscribe(), read: 0 }
    }
}

/// One reader of the board.
#[derive(Clone, Debug)]
pub struct Reader {
    board: watch::Receiver<Vec<String>>,
    read: usize,
}

impl Reader {
    /// The next notice that this reader has not seen; waits for it. No notice is lost when the wait is given up.
    pub async fn next(&mut self) -> String {
        loop {
            let text = self.board.borrow_and_update().get(self.read).cloned();
            if let Some(text) = text {
                self.read += 1;
                return text;
            }
            if self.board.changed().await.is_err() {
                // Nobody is left who could put up another.
                std::future::pending::<()>().await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn whoever_comes_reads_all_of_them_once() {
        let board = Notices::default();
        board.post("one");
        let mut early = board.reader();
        assert_eq!(early.next().await, "one");
        assert_eq!(early.next().now_or_never(), None);
        board.clone().post("two");
        assert_eq!(early.next().await, "two");
        let mut late = board.reader();
        assert_eq!((late.next().await, late.next().await), ("one".into(), "two".into()));
        for number in 0..NOTICES_MAX * 2 {
            board.post(number.to_string());
        }
        drop(board);
        for _ in 2..NOTICES_MAX {
            late.next().await;
        }
        assert_eq!(late.next().now_or_never(), None);
    }
}
