//! A second opinion on where a request ends, for tests of request smuggling.

/// One request as [`frame_requests`] cuts it out of a connection's bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Framed {
    /// The request line, without its end.
    pub line: String,
    /// Each field as written, in order, values trimmed.
    pub headers: Vec<(String, String)>,
    /// The body, with the chunks joined.
    pub body: Vec<u8>,
}

impl Framed {
    /// The values of all fields of this name, in any case.
    #[must_use]
    pub fn values(&self, name: &str) -> Vec<&str> {
        let named = self.headers.iter().filter(|(found, _)| found.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value.as_str()).collect()
    }
}

/// Cuts what one connection sent into requests, by the letter of RFC 9112 and without any leniency.
///
/// # Errors
///
/// When two readers could disagree about it: an incomplete request, `Content-Length` twice or beside
/// `Transfer-Encoding`, a coding other than `chunked`, a folded line, space before a colon, a bare CR or LF, a
/// chunk size with anything but digits (extensions too: nothing in this project sends any).
pub fn frame_requests(mut bytes: &[u8]) -> Result<Vec<Framed>, String> {
    let mut requests = Vec::new();
    while !bytes.is_empty() {
        let (request, rest) = first_request(bytes)?;
        requests.push(request);
        bytes = rest;
    }
    Ok(requests)
}

fn first_request(bytes: &[u8]) -> Result<(Framed, &[u8]), String> {
    let (line, mut rest) = line(bytes)?;
    if line.split(' ').count() != 3 || !line.ends_with(" HTTP/1.1") {
        return Err(format!("not a request line: {line:?}"));
    }
    let headers = fields(&mut rest)?;
    let mut request = Framed { line: line.to_owned(), headers, body: Vec::new() };
    let (lengths, codings) = (request.values("content-length"), request.values("transfer-encoding"));
    match (lengths.as_slice(), codings.as_slice()) {
        ([], []) => {}
        ([length], []) => {
            let length = size(length, 10)?;
            request.body = rest.get(..length).ok_or("the body is cut short")?.to_vec();
            rest = &rest[length..];
        }
        ([], [coding]) if coding.eq_ignore_ascii_case("chunked") => request.body = chunks(&mut rest)?,
        _ => return Err(format!("ambiguous framing: {:?}", request.headers)),
    }
    Ok((request, rest))
}

fn line(bytes: &[u8]) -> Result<(&str, &[u8]), String> {
    let end = bytes.windows(2).position(|pair| pair == b"\r\n").ok_or("a line does not end")?;
    let line = std::str::from_utf8(&bytes[..end]).map_err(|error| error.to_string())?;
    if line.contains(['\r', '\n', '\0']) {
        return Err(format!("a control character in {line:?}"));
    }
    Ok((line, &bytes[end + 2..]))
}

fn fields(rest: &mut &[u8]) -> Result<Vec<(String, String)>, String> {
    let mut fields = Vec::new();
    loop {
        let (field, after) = line(rest)?;
        *rest = after;
        if field.is_empty() {
            return Ok(fields);
        }
        let (name, value) = field.split_once(':').ok_or_else(|| format!("no colon in {field:?}"))?;
        if name.is_empty() || name.contains([' ', '\t']) {
            return Err(format!("space in a name: {field:?}"));
        }
        fields.push((name.to_owned(), value.trim_matches([' ', '\t']).to_owned()));
    }
}

fn chunks(rest: &mut &[u8]) -> Result<Vec<u8>, String> {
    let mut body = Vec::new();
    loop {
        let (digits, after) = line(rest)?;
        let size = size(digits, 16)?;
        *rest = after;
        if size == 0 {
            fields(rest)?;
            return Ok(body);
        }
        body.extend_from_slice(rest.get(..size).ok_or("a chunk is cut short")?);
        *rest = rest[size..].strip_prefix(b"\r\n").ok_or("a chunk is longer than it says")?;
    }
}

fn size(digits: &str, radix: u32) -> Result<usize, String> {
    if digits.is_empty() || !digits.chars().all(|digit| digit.is_digit(radix)) {
        return Err(format!("not a size: {digits:?}"));
    }
    usize::from_str_radix(digits, radix).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pipelined_requests_are_cut_where_they_end() {
        let bytes = b"GET /a HTTP/1.1\r\nHost: x\r\n\r\nPOST /b HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc\
            POST /c HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\ndef\r\n0\r\n\r\n";
        let requests = frame_requests(bytes).unwrap();
        let seen: Vec<_> =
            requests.iter().map(|request| (request.line.as_str(), request.body.as_slice())).collect();
        assert_eq!(
            seen,
            [("GET /a HTTP/1.1", b"".as_slice()), ("POST /b HTTP/1.1", b"abc"), ("POST /c HTTP/1.1", b"def"),]
        );
        assert_eq!(requests[0].values("HOST"), ["x"]);
    }

    #[test]
    fn what_two_readers_could_see_differently_is_an_error() {
        for bytes in [
            "GET / HTTP/1.1\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "GET / HTTP/1.1\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n",
            "GET / HTTP/1.1\r\nContent-Length: +0\r\n\r\n",
            "GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n",
            "GET / HTTP/1.1\r\nContent-Length : 0\r\n\r\n",
            "GET / HTTP/1.1\r\nA: b\nB: c\r\n\r\n",
            "GET / HTTP/1.1\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
            "GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0x1\r\na\r\n0\r\n\r\n",
            "GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n",
            "GET / HTTP/1.1\r\nContent-Length: 5\r\n\r\nabc",
            "GET / HTTP/1.1\r\n",
            "G0 / HTTP/1.1 x\r\n\r\n",
        ] {
            assert!(frame_requests(bytes.as_bytes()).is_err(), "{bytes:?}");
        }
    }
}
