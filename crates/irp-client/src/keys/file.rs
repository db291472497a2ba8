//! Key files in OpenSSH's format: read, decrypt, make.

use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use irp_wire::{
    key::{KEY_TYPE, KeyError, PublicKey, SecretKey},
    private,
};
use secrecy::{ExposeSecret as _, SecretString};
use ssh_key::{
    LineEnding, PrivateKey,
    private::{Ed25519Keypair, KeypairData},
};
use zeroize::Zeroizing;

use super::ssh_data::Reader;

/// The longest key file that is read, in bytes.
const FILE_MAX: u64 = 64 * 1024;

/// How often a passphrase may be wrong.
const PASSPHRASES_MAX: usize = 3;

/// Why a key file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// It cannot be read.
    #[error("cannot read the key {}", file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It holds a key of another type.
    #[error(
        "{} holds {kind}; irp takes ed25519 keys only: make one with `irp keygen`, or `ssh-keygen -t ed25519`",
        file.display()
    )]
    Type {
        /// The file.
        file: PathBuf,
        /// The type, in words.
        kind: String,
    },
    /// It does not read as a private key.
    #[error("{} does not read as a private key in OpenSSH's format: {why}", file.display())]
    Format {
        /// The file.
        file: PathBuf,
        /// Why.
        why: String,
    },
    /// It is encrypted, and no right passphrase was given.
    #[error("{} is encrypted, and the passphrase is missing or wrong", file.display())]
    Passphrase {
        /// The file.
        file: PathBuf,
    },
    /// There is a file already; it is never overwritten.
    #[error("{} exists already, and is left alone", file.display())]
    Exists {
        /// The file.
        file: PathBuf,
    },
    /// It cannot be written.
    #[error("cannot write the key {}", file.display())]
    Write {
        /// The file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The key itself is damaged, or none can be made.
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// Reads a private key. `passphrase` is asked, at most three times, when it is encrypted; `None` gives up.
///
/// # Errors
///
/// See [`KeyFileError`].
pub fn read(
    file: &Path,
    mut passphrase: impl FnMut(&Path) -> Option<SecretString>,
) -> Result<SecretKey, KeyFileError> {
    let key = parse(file)?;
    if !key.is_encrypted() {
        return secret(file, &key);
    }
    for _ in 0..PASSPHRASES_MAX {
        let Some(given) = passphrase(file) else { break };
        if let Ok(key) = key.decrypt(given.expose_secret()) {
            return secret(file, &key);
        }
    }
    Err(KeyFileError::Passphrase { file: file.to_owned() })
}

/// The public half of a private key file, for which an encrypted one needs no passphrase.
///
/// # Errors
///
/// See [`KeyFileError`].
pub fn public_half(file: &Path) -> Result<PublicKey, KeyFileError> {
    let key = parse(file)?;
    let text = key.public_key().to_openssh();
    let text = text.map_err(|error| format_error(file, &error))?;
    Ok(text.parse()?)
}

/// Makes a key: `file`, for this account alone, in OpenSSH's format, and `file.pub` beside it with `comment`.
///
/// # Errors
///
/// See [`KeyFileError`]; a file that exists is never overwritten.
pub fn generate(file: &Path, comment: &str) -> Result<SecretKey, KeyFileError> {
    let failed = |file: &Path| {
        let file = file.to_owned();
        move |source: io::Error| match source.kind() {
            io::ErrorKind::AlreadyExists => KeyFileError::Exists { file },
            _ => KeyFileError::Write { file, source },
        }
    };
    let comment: String = comment.chars().filter(|letter| !letter.is_control()).collect();
    let secret = SecretKey::generate()?;
    let pair = KeypairData::Ed25519(Ed25519Keypair::from_seed(secret.seed()));
    let key = PrivateKey::new(pair, comment.as_str()).map_err(|error| format_error(file, &error))?;
    let text = key.to_openssh(LineEnding::LF).map_err(|error| format_error(file, &error))?;
    if let Some(folder) = file.parent() {
        private::make_folder(folder).map_err(failed(file))?;
    }
    let mut out = private::options();
    out.write(true).create_new(true);
    out.open(file).and_then(|mut out| out.write_all(text.as_bytes())).map_err(failed(file))?;

    let mut name = file.as_os_str().to_owned();
    name.push(".pub");
    let public_file = PathBuf::from(name);
    let line = format!("{} {comment}", secret.public_key());
    fs::write(&public_file, format!("{}\n", line.trim_end())).map_err(failed(&public_file))?;
    Ok(secret)
}

/// Reads the key of `file`, or makes it there at first use; says whether it was made.
///
/// # Errors
///
/// See [`KeyFileError`].
pub fn read_or_generate(
    file: &Path,
    comment: &str,
    passphrase: impl FnMut(&Path) -> Option<SecretString>,
) -> Result<(SecretKey, bool), KeyFileError> {
    match generate(file, comment) {
        Ok(key) => Ok((key, true)),
        // Made before, or by another irp that started in the same moment.
        Err(KeyFileError::Exists { .. }) => Ok((read(file, passphrase)?, false)),
        Err(error) => Err(error),
    }
}

fn parse(file: &Path) -> Result<PrivateKey, KeyFileError> {
    let failed = |source| KeyFileError::Read { file: file.to_owned(), source };
    if fs::metadata(file).map_err(failed)?.len() > FILE_MAX {
        return Err(format_error(file, &"it is too long"));
    }
    let text = Zeroizing::new(fs::read(file).map_err(failed)?);
    let text = std::str::from_utf8(&text).map_err(|error| format_error(file, &error))?;
    let wrong = |kind: &str| KeyFileError::Type { file: file.to_owned(), kind: kind.to_owned() };
    // The older formats say their type in the first line.
    for (mark, kind) in [
        ("BEGIN RSA PRIVATE KEY", "an RSA key"),
        ("BEGIN DSA PRIVATE KEY", "a DSA key"),
        ("BEGIN EC PRIVATE KEY", "an ECDSA key"),
        ("BEGIN PRIVATE KEY", "a key in PKCS#8 format"),
        ("BEGIN ENCRYPTED PRIVATE KEY", "a key in PKCS#8 format"),
        ("PuTTY-User-Key-File", "a key in PuTTY's format"),
    ] {
        if text.contains(mark) {
            return Err(wrong(kind));
        }
    }
    if text.starts_with("ssh-") || text.starts_with("ecdsa-") {
        return Err(format_error(file, &"it is the public half; name the file without `.pub`"));
    }
    if let Some(kind) = key_type(text).filter(|kind| kind != KEY_TYPE) {
        return Err(wrong(&format!("a key of type {kind}")));
    }
    PrivateKey::from_openssh(text).map_err(|error| format_error(file, &error))
}

/// The type of the key in a file of OpenSSH's format (`PROTOCOL.key`), which is in the clear even where the
/// key is encrypted.
fn key_type(text: &str) -> Option<String> {
    let armoured = text.lines().filter(|line| !line.starts_with('-')).map(str::trim);
    let armoured = Zeroizing::new(armoured.collect::<String>());
    let data = Zeroizing::new(BASE64_STANDARD.decode(armoured.as_bytes()).ok()?);
    let mut reader = Reader(data.strip_prefix(b"openssh-key-v1\0")?);
    for _cipher_and_kdf in 0..3 {
        reader.string().ok()?;
    }
    reader.number().ok()?;
    let kind = Reader(reader.string().ok()?).string().ok()?;
    let kind = std::str::from_utf8(kind).ok()?;
    Some(kind.chars().filter(|letter| !letter.is_control()).take(64).collect())
}

fn secret(file: &Path, key: &PrivateKey) -> Result<SecretKey, KeyFileError> {
    match key.key_data().ed25519() {
        Some(pair) => Ok(SecretKey::from_seed(&Zeroizing::new(pair.private.to_bytes()))?),
        None => Err(format_error(file, &format_args!("no {KEY_TYPE} key inside"))),
    }
}

fn format_error(file: &Path, why: &dyn std::fmt::Display) -> KeyFileError {
    KeyFileError::Format { file: file.to_owned(), why: why.to_string() }
}
