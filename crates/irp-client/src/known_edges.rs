//! The edges that this PC knows: a file with one line for each, `HOST ssh-ed25519 AAAA…`.
//!
//! The public certificate proves that the edge holds the name; the identity proves that it is the same edge
//! as last time, even if somebody else got a certificate for the name. The first contact is believed and
//! noted (as SSH does), every other one must match. Ports other than 443 are noted as `[HOST]:PORT`.
//!
//! A line is appended with one write, so two clients that start together cannot damage the file. Lines that
//! do not parse and comments (`#`) are left alone.

use std::{
    fs, io,
    io::Write as _,
    path::{Path, PathBuf},
};

use irp_wire::{key::PublicKey, name::Hostname, private};

/// What the file said about an edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contact {
    /// The edge is the one that was noted.
    Known,
    /// It was not there, and is now.
    Added,
}

/// Why an edge cannot be trusted or noted.
#[derive(Debug, thiserror::Error)]
pub enum KnownEdgesError {
    /// Another identity is noted for this edge.
    #[error(
        "the edge {edge} shows another identity than before\n  known: {known} ({}, line {line})\n  shown: {shown}\nEither \
         somebody is between you and the edge, or the edge lost its store and made a new identity. If you \
         know that it did, delete that line and connect again",
        file.display()
    )]
    Mismatch {
        /// The edge, as noted.
        edge: String,
        /// The file.
        file: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// The fingerprint noted.
        known: String,
        /// The fingerprint shown.
        shown: String,
    },
    /// The file cannot be read.
    #[error("cannot read the known edges in {}", file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file cannot be written.
    #[error("cannot note the edge in {}", file.display())]
    Write {
        /// The file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Compares `identity` with what `file` says about the edge, and notes it if it is new.
///
/// # Errors
///
/// See [`KnownEdgesError`].
pub fn check(
    file: &Path,
    host: &Hostname,
    port: u16,
    identity: &PublicKey,
) -> Result<Contact, KnownEdgesError> {
    let edge = edge_name(host, port);
    let text = read(file)?;
    let mut mismatch = None;
    for (index, line) in text.lines().enumerate() {
        let Some(known) = parse(line).filter(|(name, _)| *name == edge).map(|(_, key)| key) else {
            continue;
        };
        if known == *identity {
            return Ok(Contact::Known);
        }
        mismatch.get_or_insert((index + 1, known));
    }
    if let Some((line, known)) = mismatch {
        let (known, shown) = (known.fingerprint(), identity.fingerprint());
        return Err(KnownEdgesError::Mismatch { edge, file: file.to_owned(), line, known, shown });
    }
    let before = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
    append(file, &format!("{before}{edge} {identity}\n"))
        .map_err(|source| KnownEdgesError::Write { file: file.to_owned(), source })?;
    Ok(Contact::Added)
}

/// Removes what `file` says about an edge; says whether there was anything.
///
/// # Errors
///
/// See [`KnownEdgesError`].
pub fn forget(file: &Path, host: &Hostname, port: u16) -> Result<bool, KnownEdgesError> {
    let edge = edge_name(host, port);
    let text = read(file)?;
    let kept: String =
        text.split_inclusive('\n').filter(|line| parse(line).is_none_or(|(name, _)| name != edge)).collect();
    if kept == text {
        return Ok(false);
    }
    replace(file, &kept).map_err(|source| KnownEdgesError::Write { file: file.to_owned(), source })?;
    Ok(true)
}

/// The edges in `file`, as people type them: `HOST`, or `HOST:PORT` where the port is not 443.
///
/// # Errors
///
/// When the file cannot be read.
pub fn names(file: &Path) -> Result<Vec<String>, KnownEdgesError> {
    let text = read(file)?;
    Ok(text.lines().filter_map(parse).map(|(name, _)| name.replace(['[', ']'], "")).collect())
}

fn edge_name(host: &Hostname, port: u16) -> String {
    if port == 443 { host.to_string() } else { format!("[{host}]:{port}") }
}

fn parse(line: &str) -> Option<(&str, PublicKey)> {
    let (name, key) = line.trim().split_once(char::is_whitespace)?;
    Some((name, key.parse().ok()?))
}

/// The longest file that is read, in bytes: about ten thousand edges.
const FILE_MAX: u64 = 1024 * 1024;

fn read(file: &Path) -> Result<String, KnownEdgesError> {
    let failed = |source| KnownEdgesError::Read { file: file.to_owned(), source };
    match fs::metadata(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(String::new()),
        Err(error) => return Err(failed(error)),
        Ok(about) if about.len() > FILE_MAX => {
            return Err(failed(io::Error::new(io::ErrorKind::FileTooLarge, "it is larger than 1 MiB")));
        }
        Ok(_) => {}
    }
    fs::read_to_string(file).map_err(failed)
}

fn append(file: &Path, line: &str) -> io::Result<()> {
    if let Some(folder) = file.parent() {
        private::make_folder(folder)?;
    }
    private::options().append(true).create(true).open(file)?.write_all(line.as_bytes())
}

/// Writes a new file beside the old one and puts it in its place, so a crash leaves one of the two.
fn replace(file: &Path, text: &str) -> io::Result<()> {
    let mut name = file.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let new = file.with_file_name(name);
    let mut out = private::options().write(true).create(true).truncate(true).open(&new)?;
    out.write_all(text.as_bytes())?;
    out.sync_all()?;
    fs::rename(&new, file)
}

#[cfg(test)]
mod tests {
    use irp_wire::key::SecretKey;

    use super::*;

    fn key() -> PublicKey {
        SecretKey::generate().unwrap().public_key()
    }

    #[test]
    fn the_first_contact_is_noted_and_every_other_must_match() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("irp/known_edges");
        let host: Hostname = "a.example".parse().unwrap();
        let (first, other) = (key(), key());
        assert_eq!(check(&file, &host, 443, &first).unwrap(), Contact::Added);
        assert_eq!(check(&file, &host, 443, &first).unwrap(), Contact::Known);
        assert_eq!(check(&file, &host, 8443, &other).unwrap(), Contact::Added);
        let text = fs::read_to_string(&file).unwrap();
        assert_eq!(text, format!("a.example {first}\n[a.example]:8443 {other}\n"));
        assert_eq!(names(&file).unwrap(), ["a.example", "a.example:8443"]);

        let error = check(&file, &host, 443, &other).unwrap_err();
        let told = error.to_string();
        for part in [first.fingerprint(), other.fingerprint(), file.display().to_string(), "line 1".into()] {
            assert!(told.contains(&part), "{told}");
        }
        assert!(forget(&file, &host, 443).unwrap());
        assert!(!forget(&file, &host, 443).unwrap());
        assert_eq!(fs::read_to_string(&file).unwrap(), format!("[a.example]:8443 {other}\n"));
    }

    #[test]
    fn what_people_write_into_the_file_stays() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("known_edges");
        fs::write(&file, "# mine\nnonsense").unwrap();
        let host: Hostname = "a.example".parse().unwrap();
        let first = key();
        check(&file, &host, 443, &first).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), format!("# mine\nnonsense\na.example {first}\n"));
    }

    #[cfg(unix)]
    #[test]
    fn nobody_else_may_read_the_file() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("known_edges");
        let host: Hostname = "a.example".parse().unwrap();
        check(&file, &host, 443, &key()).unwrap();
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
