//! Bytes of tokens to whole UTF-8 pieces.

/// Joins bytes that come in pieces into text that never ends inside a character: where the bytes do, because a limit cut
/// them, the beginning of the character is left out.
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
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Takes bytes, so many at a time.
    fn joined(bytes: &[u8], size: usize) -> String {
        let mut pieces = Utf8Pieces::default();
        bytes.chunks(size).map(|chunk| pieces.push(chunk)).collect()
    }

    #[test]
    fn characters_come_out_whole() {
        let mut pieces = Utf8Pieces::default();
        assert_eq!(pieces.push(&[0xe8, 0xaa]), "");
        assert_eq!(pieces.push(&[0x9e, b'!']), "語!");
        assert_eq!(pieces.push(&[0xff, b'a', 0xc3]), "\u{fffd}a");
        assert_eq!(pieces.push(b"b"), "\u{fffd}b");
    }

    #[test]
    fn cut_character_is_left_out() {
        for (bytes, expected) in [
            (&b"\xe8\xaa"[..], ""),
            (b"\xf0\x9f\xa6", ""),
            (b"caf\xc3", "caf"),
            (b"caf\xc3\xa9", "café"),
            ("語".as_bytes(), "語"),
            (b"a\xff", "a\u{fffd}"),
            (b"a\xe8\xaab", "a\u{fffd}b"),
            // No character begins with the first two of these.
            (b"\xe0\x80\xf0\x9f", "\u{fffd}\u{fffd}"),
        ] {
            for size in 1..=bytes.len() {
                assert_eq!(joined(bytes, size), expected, "{bytes:x?} by {size}");
            }
        }
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same_text(text in "\\PC{0,40}", size in 1usize..7) {
            prop_assert_eq!(joined(text.as_bytes(), size), text);
        }

        #[test]
        fn any_cut_leaves_the_characters_before_it(text in "\\PC{0,40}", cut: prop::sample::Index, size in 1usize..7) {
            let cut = cut.index(text.len() + 1);
            let expected = &text[..text.floor_char_boundary(cut)];
            prop_assert_eq!(joined(&text.as_bytes()[..cut], size), expected);
        }

        #[test]
        fn any_bytes_read_as_the_lossy_text(bytes in prop::collection::vec(any::<u8>(), 0..40), size in 1usize..7) {
            // Nothing is cut where a whole character ends the bytes.
            let bytes = [bytes, b".".to_vec()].concat();
            prop_assert_eq!(joined(&bytes, size), String::from_utf8_lossy(&bytes));
        }
    }
}
