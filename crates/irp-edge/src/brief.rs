//! Listeners without TLS for one small request a connection, which is answered at once: there is nothing to stay for.

use std::{convert::Infallible, future::ready, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use irp_wire::tasks::Tasks;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::timeout,
};

use crate::listen;

/// How long a connection may take, whatever it does.
const CONNECTION_TIME: Duration = Duration::from_secs(10);

/// What the connections of one or more such listeners may use together.
#[derive(Clone, Debug)]
pub(crate) struct Brief {
    connections: Arc<Semaphore>,
    header_bytes: usize,
    tasks: Tasks,
}

impl Brief {
    /// So many connections at once, each with a request of at most `header_bytes`, of which hyper's least is 8192.
    pub(crate) fn new(connections_max: usize, header_bytes: usize, tasks: Tasks) -> Self {
        Self { connections: Arc::new(Semaphore::new(connections_max)), header_bytes, tasks }
    }

    /// Accepts, and has each request answered, until the owner of the tasks stops. Who dawdles does not hold that up.
    pub(crate) async fn serve<A>(self, listener: TcpListener, answer: A)
    where
        A: Fn(&Request<Incoming>) -> Response<Full<Bytes>> + Clone + Send + 'static,
    {
        let stop = self.tasks.token().clone();
        loop {
            let Ok(permit) = Arc::clone(&self.connections).acquire_owned().await else { return };
            let (stream, _) = tokio::select! {
                () = stop.cancelled() => return,
                accepted = listen::accept(&listener) => accepted,
            };
            let (stop, exchange) = (stop.clone(), exchange(stream, self.header_bytes, answer.clone()));
            self.tasks.spawn(async move {
                stop.run_until_cancelled(timeout(CONNECTION_TIME, exchange)).await;
                drop(permit);
            });
        }
    }
}

async fn exchange<A>(stream: TcpStream, header_bytes: usize, answer: A)
where
    A: Fn(&Request<Incoming>) -> Response<Full<Bytes>>,
{
    let service = service_fn(move |request| ready(Ok::<_, Infallible>(answer(&request))));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(CONNECTION_TIME)
        .max_buf_size(header_bytes)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = connection.await {
        tracing::debug!(%error, "a connection without TLS broke");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_says_nothing_does_not_hold_up_the_end() {
        let (tasks, listener) = (Tasks::new(), listen::bind(([127, 0, 0, 1], 0).into()).unwrap());
        let address = listener.local_addr().unwrap();
        let brief = Brief::new(2, 8192, tasks.clone());
        let connections = Arc::clone(&brief.connections);
        tasks.spawn(brief.serve(listener, |_| Response::new(Full::default())));
        let _silent = TcpStream::connect(address).await.unwrap();
        // One is for the silent peer, one for whoever comes next.
        let accepted = async {
            while connections.available_permits() > 0 {
                tokio::task::yield_now().await;
            }
        };
        timeout(Duration::from_secs(60), accepted).await.unwrap();
        assert!(tasks.shutdown(CONNECTION_TIME / 2).await.in_time);
    }
}
