//! Fingerprints of a text: hashes of windows, by which its bytes are found in any file, and from which nothing is read.
//!
//! The hash is a polynomial over the bytes of a window (Karp and Rabin, 1987), so that it rolls over a file at the cost
//! of two multiplications a byte. Its base is drawn anew for each text.

use std::collections::HashSet;

/// Bytes of a window, where the text has as many.
const WINDOW: usize = 32;
/// Shortest text that has a fingerprint.
const MIN_WINDOW: usize = 8;
/// Bytes from one window to the next: half a window, so that whatever is left of a text in one piece of 48 bytes is found.
const STRIDE: usize = 16;
/// Most fingerprints of a text; longer texts get theirs spread over the whole.
const MAX_FINGERPRINTS: usize = 65_536;

/// Fingerprints of one text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fingerprints {
    pub(super) seed: u64,
    window: usize,
    hashes: HashSet<u64>,
}

impl Fingerprints {
    /// Takes the fingerprints of a text under a new seed.
    pub(super) fn of(text: &[u8]) -> Self {
        let seed = rand::random::<u64>();
        let window = if text.len() < MIN_WINDOW {
            0
        } else {
            text.len().min(WINDOW)
        };
        let mut hashes = HashSet::new();
        if window > 0 {
            let starts = text.len() - window + 1;
            let stride = STRIDE.max(starts.div_ceil(MAX_FINGERPRINTS));
            let base = base(seed);
            let windows = (0..starts).step_by(stride).map(|start| &text[start..start + window]);
            hashes = windows
                .filter(|window| tells(window))
                .map(|window| hash(base, window))
                .collect();
        }
        Self { seed, window, hashes }
    }

    pub(super) fn len(&self) -> usize {
        self.hashes.len()
    }

    /// Returns the window in bytes.
    pub(super) fn window(&self) -> usize {
        self.window
    }

    /// Writes window and hashes, sorted.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut hashes: Vec<u64> = self.hashes.iter().copied().collect();
        hashes.sort_unstable();
        let mut bytes = (self.window as u64).to_le_bytes().to_vec();
        bytes.extend(hashes.iter().flat_map(|hash| hash.to_le_bytes()));
        bytes
    }

    /// The reverse of [`Fingerprints::to_bytes`].
    pub(super) fn from_bytes(seed: u64, bytes: &[u8]) -> Self {
        let (words, _) = bytes.as_chunks::<8>();
        let mut words = words.iter().map(|word| u64::from_le_bytes(*word));
        let window = words.next().unwrap_or(0) as usize;
        Self {
            seed,
            window: window.min(WINDOW),
            hashes: words.collect(),
        }
    }

    /// Calls `each` with the offset of every window of `bytes` that has one of these fingerprints.
    pub(super) fn find(&self, bytes: &[u8], mut each: impl FnMut(usize)) {
        let window = self.window;
        if window == 0 || self.hashes.is_empty() || bytes.len() < window {
            return;
        }
        let base = base(self.seed);
        // What the first byte of a window weighs.
        let first = (1..window).fold(1_u64, |power, _| power.wrapping_mul(base));
        // Most windows are turned away by one bit.
        let mut sieve = vec![0_u64; 1_024];
        let place = |hash: u64| ((hash >> 48) as usize, 1_u64 << ((hash >> 42) & 63));
        for hash in &self.hashes {
            let (word, bit) = place(*hash);
            sieve[word & 1_023] |= bit;
        }
        let mut rolling = hash(base, &bytes[..window]);
        for start in 0..=bytes.len() - window {
            if start > 0 {
                rolling = rolling
                    .wrapping_sub(u64::from(bytes[start - 1]).wrapping_add(1).wrapping_mul(first))
                    .wrapping_mul(base)
                    .wrapping_add(u64::from(bytes[start + window - 1]) + 1);
            }
            let (word, bit) = place(rolling);
            if sieve[word & 1_023] & bit != 0 && self.hashes.contains(&rolling) {
                each(start);
            }
        }
    }
}

/// An odd base, so that no byte of a window loses its weight.
fn base(seed: u64) -> u64 {
    seed | 1
}

fn hash(base: u64, window: &[u8]) -> u64 {
    window.iter().fold(0_u64, |hash, byte| {
        hash.wrapping_mul(base).wrapping_add(u64::from(*byte) + 1)
    })
}

/// Returns whether a window says something: rules and blanks stand in any file.
fn tells(window: &[u8]) -> bool {
    let distinct: HashSet<u8> = window.iter().copied().collect();
    distinct.len() >= MIN_WINDOW.min(window.len() / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &[u8], bytes: &[u8]) -> Vec<usize> {
        let fingerprints = Fingerprints::of(text);
        let again = Fingerprints::from_bytes(fingerprints.seed, &fingerprints.to_bytes());
        assert_eq!(again, fingerprints);
        let mut offsets = Vec::new();
        again.find(bytes, |offset| offsets.push(offset));
        offsets
    }

    #[test]
    fn text_is_found_wherever_it_stands() {
        let text = b"The lamp of the lighthouse burned whale oil for nine years.";
        let mut file = vec![7_u8; 100];
        file.extend_from_slice(text);
        file.extend_from_slice(&[9; 50]);
        assert_eq!(found(text, &file), vec![100, 116]);
        assert_eq!(
            found(text, &file[120..]),
            Vec::<usize>::new(),
            "too little is left of it"
        );
    }

    #[test]
    fn other_texts_are_not_found() {
        let text = b"The lamp of the lighthouse burned whale oil for nine years.";
        let other = b"The keeper of the lighthouse wrote down every ship that passed by.";
        assert_eq!(found(text, other), Vec::<usize>::new());
        assert_eq!(found(b"short", b"a short text"), Vec::<usize>::new());
        assert_eq!(
            found(b"nine years", b"for nine years!"),
            vec![4],
            "a short text is one window"
        );
    }

    #[test]
    fn rules_have_no_fingerprint() {
        assert_eq!(Fingerprints::of(&[b'-'; 200]).len(), 0);
    }
}
