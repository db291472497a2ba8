//! The other side: asking a client in the background.

use std::{io, time::Duration};

use tokio::{
    io::{
        AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, ReadHalf, WriteHalf, split,
    },
    time::timeout,
};

use super::{
    LEAVE, LINE_MAX, Place, Report,
    socket::{self, Stream},
};

/// A connection to a client in the background.
#[derive(Debug)]
pub(crate) struct Visit {
    from: BufReader<ReadHalf<Stream>>,
    to: WriteHalf<Stream>,
}

impl Visit {
    /// Connects; `None` when nobody is there (any more).
    pub(crate) async fn pay(place: &Place) -> Option<Self> {
        let (from, to) = split(socket::connect(place).await.ok()?);
        Some(Self { from: BufReader::new(from), to })
    }

    /// Waits until its tunnel stands, and hears its report; `None` when it ends before.
    pub(crate) async fn report(&mut self) -> Option<Report> {
        let mut line = String::new();
        (&mut self.from).take(LINE_MAX).read_line(&mut line).await.ok()?;
        serde_json::from_str(&line).ok()
    }

    /// Asks it to leave, and waits for its end.
    ///
    /// # Errors
    ///
    /// When it is still there after `within`.
    pub(crate) async fn leave(mut self, within: Duration) -> io::Result<()> {
        // One that ends at this moment needs no asking.
        let _ = self.to.write_all(format!("{LEAVE}\n").as_bytes()).await;
        let ends = async {
            let mut line = String::new();
            while (&mut self.from).take(LINE_MAX).read_line(&mut line).await.is_ok_and(|read| read > 0) {
                line.clear();
            }
        };
        timeout(within, ends).await.map_err(|_| io::ErrorKind::TimedOut.into())
    }
}
