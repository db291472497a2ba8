//! Request targets of HTTP/2, made from those of HTTP/1.1.

use http::{Method, Request, Uri, Version, header, uri};

use crate::{
    http::body::RequestBody,
    tunnels::{SendError, Unsent},
};

/// HTTP/2 carries scheme and host in its own fields: `https://host/path`, and no `Host` header.
pub(super) fn into_absolute(
    mut request: Box<Request<RequestBody>>,
) -> Result<Box<Request<RequestBody>>, Unsent> {
    let host = request.headers_mut().remove(header::HOST);
    let authority = host.and_then(|host| uri::Authority::from_maybe_shared(host).ok());
    let mut target = uri::Parts::default();
    target.scheme = Some(uri::Scheme::HTTPS);
    target.authority = authority;
    let path = std::mem::take(request.uri_mut()).into_parts().path_and_query;
    let without = if *request.method() == Method::OPTIONS { "*" } else { "/" };
    let path = path.filter(|path| path.as_str() != "*");
    target.path_and_query = Some(path.unwrap_or_else(|| uri::PathAndQuery::from_static(without)));
    *request.version_mut() = Version::HTTP_2;
    match Uri::from_parts(target) {
        Ok(uri) => {
            *request.uri_mut() = uri;
            Ok(request)
        }
        Err(_) => Err(Unsent { why: SendError::Unsuited("its host is malformed"), request: None }),
    }
}
