//! The built-in application of `irp up --local`: it answers with what it got, so that a first try needs no
//! program of one's own.
//!
//! HTML for browsers, JSON for everything else. The body is counted and thrown away, never kept. A WebSocket gets
//! each of its messages back.

mod websocket;

use std::{convert::Infallible, io, net::SocketAddr, time::Duration};

use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper_util::rt::{TokioIo, TokioTimer};
use irp_wire::tasks::Tasks;
use serde_json::{Map, Value, json};
use tokio::net::{TcpListener, TcpStream};

/// How long accepting pauses after a failure, such as used-up file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// How long a body may take; the answer needs only its length.
const BODY_WITHIN: Duration = Duration::from_secs(600);

/// The application, bound to a free port of the loopback.
#[derive(Debug)]
pub(crate) struct Echo {
    listener: TcpListener,
}

impl Echo {
    /// Binds it.
    ///
    /// # Errors
    ///
    /// When the loopback has no free port.
    pub(crate) async fn bind() -> io::Result<Self> {
        Ok(Self { listener: TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).await? })
    }

    /// Where it listens.
    ///
    /// # Errors
    ///
    /// When the system does not say.
    pub(crate) fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves as tasks of `tasks`, until those are stopped.
    pub(crate) fn serve(self, tasks: &Tasks) {
        let owner = tasks.clone();
        tasks.spawn(async move {
            loop {
                tokio::select! {
                    () = owner.token().cancelled() => return,
                    accepted = self.listener.accept() => match accepted {
                        Ok((stream, _)) => owner.spawn(connection(stream, owner.clone())),
                        Err(error) => {
                            tracing::warn!(%error, "the echo application cannot accept a connection");
                            tokio::time::sleep(ACCEPT_PAUSE).await;
                        }
                    },
                }
            }
        });
    }
}

async fn connection(stream: TcpStream, tasks: Tasks) {
    // Small answers must not wait for the acknowledgement of earlier ones.
    let _ = stream.set_nodelay(true);
    let owner = &tasks;
    let service = hyper::service::service_fn(|mut request| async move {
        if let Some(accepted) = websocket::accept(&mut request, owner) {
            return Ok::<_, Infallible>(accepted);
        }
        Ok(answer(request).await)
    });
    let serving = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    tokio::pin!(serving);
    tokio::select! {
        result = serving.as_mut() => return told(result),
        () = tasks.token().cancelled() => serving.as_mut().graceful_shutdown(),
    }
    told(serving.await);
}

fn told(result: hyper::Result<()>) {
    if let Err(error) = result {
        tracing::debug!(%error, "a connection to the echo application broke");
    }
}

async fn answer(request: Request<Incoming>) -> Response<Full<Bytes>> {
    let (head, body) = request.into_parts();
    let counted = tokio::time::timeout(BODY_WITHIN, count(body)).await;
    let Ok(Ok(length)) = counted else {
        return page(StatusCode::BAD_REQUEST, "text/plain", "the body did not arrive whole\n".into());
    };
    let html = head
        .headers
        .get(header::ACCEPT)
        .and_then(|accept| accept.to_str().ok())
        .is_some_and(|accept| accept.contains("text/html"));
    let mut headers = Map::new();
    for (name, value) in &head.headers {
        let value = String::from_utf8_lossy(value.as_bytes());
        match headers.get_mut(name.as_str()) {
            // Repeated headers, joined as RFC 9110, section 5.3 joins them.
            Some(Value::String(earlier)) => {
                earlier.push_str(", ");
                earlier.push_str(&value);
            }
            _ => drop(headers.insert(name.as_str().into(), value.into())),
        }
    }
    let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
    let body = if html {
        write_html(&head.method, path, &headers, length)
    } else {
        let echo = json!({
            "method": head.method.as_str(),
            "path": path,
            "headers": headers,
            "body_bytes": length,
        });
        // A JSON value always serialises.
        serde_json::to_string_pretty(&echo).unwrap_or_default() + "\n"
    };
    page(StatusCode::OK, if html { "text/html; charset=utf-8" } else { "application/json" }, body)
}

async fn count(mut body: Incoming) -> hyper::Result<u64> {
    let mut length = 0;
    while let Some(frame) = body.frame().await {
        if let Some(data) = frame?.data_ref() {
            length += data.len() as u64;
        }
    }
    Ok(length)
}

fn page(status: StatusCode, kind: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn write_html(method: &Method, path: &str, headers: &Map<String, Value>, length: u64) -> String {
    let rows: String = headers
        .iter()
        .map(|(name, value)| {
            format!("<tr><th>{}<td>{}\n", plain(name), plain(value.as_str().unwrap_or_default()))
        })
        .collect();
    format!(
        "<!doctype html>\n<html lang=en><meta charset=utf-8><meta name=viewport content=\"width=device-width\">\n\
         <title>irp: it works</title>\n<style>{STYLE}</style>\n\
         <h1>It works</h1>\n\
         <p>This page came through the tunnel from the built-in application of <code>irp up --local</code>. \
         Name a port to see your own program here: <code>irp up --local 3000</code>.\n\
         <h2><code>{} {}</code></h2>\n<p>{length} bytes of body.\n<table>\n{rows}</table>\n",
        plain(method.as_str()),
        plain(path),
    )
}

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:46rem;margin:3rem auto;padding:0 1rem;\
color:#1c2430;background:#fff}code{font-family:ui-monospace,monospace}h2{overflow-wrap:anywhere}\
table{border-collapse:collapse;font:14px/1.5 ui-monospace,monospace}th,td{text-align:left;vertical-align:top;\
padding:.15rem 1rem .15rem 0;overflow-wrap:anywhere}th{color:#5a6675;font-weight:400;white-space:nowrap}\
@media(prefers-color-scheme:dark){body{color:#e6e9ee;background:#14181e}th{color:#93a0b0}}";

/// Text of a visitor as HTML text.
fn plain(text: &str) -> String {
    let mut html = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            _ => html.push(c),
        }
    }
    html
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    /// Sends `request` on a connection of its own and gives all that comes back.
    async fn exchange(request: &str) -> String {
        let tasks = Tasks::new();
        let echo = Echo::bind().await.unwrap();
        let address = echo.address().unwrap();
        echo.serve(&tasks);
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(tasks.shutdown(Duration::from_secs(5)).await.in_time);
        answer
    }

    #[tokio::test]
    async fn programs_get_json() {
        let answer = exchange(
            "POST /hook?x=1 HTTP/1.1\r\nhost: a\r\nx-two: 1\r\nx-two: 2\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello",
        )
        .await;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        let body: Value = serde_json::from_str(body).unwrap();
        assert_eq!(body["method"], "POST");
        assert_eq!(body["path"], "/hook?x=1");
        assert_eq!(body["headers"]["x-two"], "1, 2");
        assert_eq!(body["body_bytes"], 5);
    }

    #[tokio::test]
    async fn browsers_get_html_and_what_they_sent_is_only_text_in_it() {
        let answer = exchange(
            "GET / HTTP/1.1\r\nhost: a\r\nx-mine: <script>\r\naccept: text/html\r\nconnection: close\r\n\r\n",
        )
        .await;
        assert!(answer.contains("content-type: text/html"), "{answer}");
        assert!(answer.contains("<td>&lt;script&gt;") && !answer.contains("<script>"), "{answer}");
    }
}
