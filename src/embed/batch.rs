//! Which texts are embedded together.
//!
//! Comes in: the lengths of texts in tokens. Goes out: batches of positions.
//! Always holds: every position is in exactly one batch, and a batch padded to its longest text stays within the
//! limit, or holds one text.
//! Not here: tokenizers, models.

/// Splits texts into batches of at most `max_padded_tokens`, shortest texts first, so that little is padded.
pub(super) fn plan(lengths: &[usize], max_padded_tokens: usize) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..lengths.len()).collect();
    order.sort_by_key(|&position| lengths[position]);
    let mut batches: Vec<Vec<usize>> = Vec::new();
    for position in order {
        // Texts come in rising length: the newest is the longest, and sets the width of its batch.
        match batches.last_mut() {
            Some(batch) if (batch.len() + 1) * lengths[position] <= max_padded_tokens => batch.push(position),
            _ => batches.push(vec![position]),
        }
    }
    batches
}
