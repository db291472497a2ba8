//! Request targets of HTTP/2, made from those of HTTP/1.1.

use http::{Method, Request, Uri, Version, header, uri};

use crate::{
    http::body::RequestBody,
    tunnels::{SendError, Unsent},
};

/// HTTP/2 carries scheme and host in its own fields: `https://host/path`, and no `Host` header.
pub(super) fn into_absolute(request: Request<RequestBody>) -> Result<Box<Request<RequestBody>>, Unsent> {
    let (mut parts, body) = request.into_parts();
    let host = parts.headers.remove(header::HOST);
    let authority = host.and_then(|host| uri::Authority::from_maybe_shared(host).ok());
    let mut target = uri::Parts::default();
    target.scheme = Some(uri::Scheme::HTTPS);
    target.authority = authority;
    target.path_and_query = parts.uri.into_parts().path_and_query.filter(|path| path.as_str() != "*");
    if target.path_and_query.is_none() {
        target.path_and_query =
            Some(uri::PathAndQuery::from_static(if parts.method == Method::OPTIONS { "*" } else { "/" }));
    }
    parts.version = Version::HTTP_2;
    match Uri::from_parts(target) {
        Ok(uri) => {
            parts.uri = uri;
            Ok(Box::new(Request::from_parts(parts, body)))
        }
        Err(_) => Err(Unsent { why: SendError::Unsuited("its host is malformed"), request: None }),
    }
}
