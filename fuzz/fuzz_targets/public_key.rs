//! The lines of a file of public keys: one that reads prints as OpenSSH wrote it, and a comment or another
//! blank changes nothing.

#![no_main]

use irp_wire::key::{KEY_TYPE, KeyError, PublicKey};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace();
        let (kind, blob) = (words.next(), words.next());
        match line.parse::<PublicKey>() {
            Ok(key) => {
                let plain = format!("{} {}", kind.unwrap_or_default(), blob.unwrap_or_default());
                assert_eq!(key.to_string(), plain);
                assert!(plain.starts_with(KEY_TYPE));
                assert_eq!(plain.parse(), Ok(key));
                assert_eq!(format!("\t{plain}  {line}").parse(), Ok(key), "a comment");
                assert_eq!(key.to_ssh_blob().len(), 51);
                assert!(key.to_ssh_blob().ends_with(key.as_bytes()));
                assert_eq!(PublicKey::from_bytes(*key.as_bytes()), key);
                assert!(!key.verifies(line.as_bytes(), &[0; 64]), "nobody has signed");
            }
            // It is said to a person, so it is short.
            Err(KeyError::Type(kind)) => assert!(kind.chars().count() <= 64 && line.contains(&kind)),
            Err(KeyError::Format) => {}
            Err(KeyError::Private) => panic!("nobody spoke of a private key"),
        }
    }
});
