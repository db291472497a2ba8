//! The data types of SSH (RFC 4251, section 5), as far as keys need them.

/// The bytes end too early.
#[derive(Debug)]
pub(super) struct Damaged;

/// Reads one value after the other.
pub(super) struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8], Damaged> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Damaged)?;
        self.0 = rest;
        Ok(taken)
    }

    pub(super) fn byte(&mut self) -> Result<u8, Damaged> {
        self.take(1).map(|bytes| bytes[0])
    }

    pub(super) fn number(&mut self) -> Result<u32, Damaged> {
        let bytes = self.take(4)?;
        Ok(u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }

    pub(super) fn string(&mut self) -> Result<&'a [u8], Damaged> {
        let length = self.number()? as usize;
        self.take(length)
    }
}

/// Appends `bytes` as a string: length in four bytes, then the bytes.
pub(super) fn put_string(to: &mut Vec<u8>, bytes: &[u8]) {
    to.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
    to.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_put_is_read_and_a_cut_is_noticed(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let mut data = Vec::new();
            put_string(&mut data, &bytes);
            prop_assert_eq!(Reader(&data).string().unwrap(), bytes.as_slice());
            prop_assert!(Reader(&data[..data.len() - 1]).string().is_err());
        }
    }
}
