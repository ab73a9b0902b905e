//! The ends of the list: what scores too low, and what is too much.

use super::{Line, Loss, Lost};

/// Leaves out what scores below the threshold.
pub fn leave_out_low(line: &mut Line, threshold: f64) {
    line.sift(|_, staged| (staged.score < threshold).then_some(Loss::BelowThreshold));
}

/// Keeps the first `limit`.
pub fn cut(line: &mut Line, limit: usize) {
    let rest = line.kept.split_off(limit.min(line.kept.len()));
    let places = limit as u32 + 1..;
    line.lost
        .extend(rest.into_iter().zip(places).map(|(staged, place)| Lost {
            staged,
            loss: Loss::CutOff,
            place,
        }));
}
