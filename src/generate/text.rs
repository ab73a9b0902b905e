//! Bytes of tokens to whole UTF-8 pieces.

/// Joins bytes that come in pieces into text that never ends inside a character.
#[derive(Debug, Default)]
pub(super) struct Utf8Pieces {
    pending: Vec<u8>,
}

impl Utf8Pieces {
    /// Takes more bytes and returns the text that is complete. Bytes that can never become a character turn into U+FFFD.
    pub(super) fn push(&mut self, bytes: &[u8]) -> String {
        self.pending.extend_from_slice(bytes);
        let mut text = String::new();
        let mut rest = self.pending.as_slice();
        loop {
            match std::str::from_utf8(rest) {
                Ok(valid) => {
                    text.push_str(valid);
                    rest = &[];
                    break;
                }
                Err(error) => {
                    let (valid, after) = rest.split_at(error.valid_up_to());
                    text.push_str(&String::from_utf8_lossy(valid));
                    rest = after;
                    let Some(invalid) = error.error_len() else { break };
                    text.push(char::REPLACEMENT_CHARACTER);
                    rest = &rest[invalid..];
                }
            }
        }
        self.pending = rest.to_vec();
        text
    }

    /// Ends the text: an unfinished character becomes U+FFFD.
    pub(super) fn finish(self) -> String {
        String::from_utf8_lossy(&self.pending).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn joined(bytes: &[u8], size: usize) -> String {
        let mut pieces = Utf8Pieces::default();
        let mut text: String = bytes.chunks(size).map(|chunk| pieces.push(chunk)).collect();
        text.push_str(&pieces.finish());
        text
    }

    #[test]
    fn characters_come_out_whole() {
        let mut pieces = Utf8Pieces::default();
        assert_eq!(pieces.push(&[0xe8, 0xaa]), "");
        assert_eq!(pieces.push(&[0x9e, b'!']), "語!");
        assert_eq!(pieces.push(&[0xff, b'a', 0xc3]), "\u{fffd}a");
        assert_eq!(pieces.finish(), "\u{fffd}");
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same_text(text in "\\PC{0,40}", size in 1usize..7) {
            prop_assert_eq!(joined(text.as_bytes(), size), text);
        }

        #[test]
        fn any_bytes_read_as_the_lossy_text(bytes in prop::collection::vec(any::<u8>(), 0..40), size in 1usize..7) {
            prop_assert_eq!(joined(&bytes, size), String::from_utf8_lossy(&bytes));
        }
    }
}
