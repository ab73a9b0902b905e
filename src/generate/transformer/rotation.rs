//! Rotary position embedding (Su and others 2021): pairs of numbers turn by an angle that grows with the position.

/// Which numbers of a head turn together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pairing {
    /// Neighbours, as GGUF files of the Llama family have them.
    Neighbours,
    /// Each number of the first half with one of the second.
    Halves,
}

/// How positions turn a head.
#[derive(Debug, Clone)]
pub(crate) struct Rotation {
    pairing: Pairing,
    /// Angle of each pair at position 1.
    speeds: Vec<f64>,
    /// What turned numbers are multiplied by.
    magnitude: f64,
}

impl Rotation {
    /// Returns the rotation of heads whose first `width` numbers turn; `factors`, one for each pair, slow pairs down.
    pub(crate) fn new(pairing: Pairing, width: usize, base: f64, factors: Option<&[f32]>) -> Self {
        let speed = |pair: usize| {
            let factor = factors.and_then(|factors| factors.get(pair)).copied().unwrap_or(1.0);
            base.powf(-2.0 * pair as f64 / width as f64) / f64::from(factor)
        };
        Self {
            pairing,
            speeds: (0..width / 2).map(speed).collect(),
            magnitude: 1.0,
        }
    }

    /// Multiplies what turns by a number too.
    pub(crate) fn with_magnitude(self, magnitude: f32) -> Self {
        Self {
            magnitude: f64::from(magnitude),
            ..self
        }
    }

    /// Returns which numbers turn together.
    pub(in crate::generate) fn pairing(&self) -> Pairing {
        self.pairing
    }

    /// Returns cosine and sine of each pair at a position.
    pub(in crate::generate) fn turns(&self, position: usize) -> Vec<(f32, f32)> {
        let turn = |speed: &f64| {
            let (sine, cosine) = (speed * position as f64).sin_cos();
            ((cosine * self.magnitude) as f32, (sine * self.magnitude) as f32)
        };
        self.speeds.iter().map(turn).collect()
    }

    /// Turns a head.
    #[cfg(target_arch = "x86_64")]
    pub(in crate::generate) fn turn(&self, head: &mut [f32], turns: &[(f32, f32)]) {
        match self.pairing {
            Pairing::Neighbours => {
                for (pair, turn) in head.as_chunks_mut::<2>().0.iter_mut().zip(turns) {
                    *pair = turned(*pair, *turn);
                }
            }
            Pairing::Halves => {
                let (first, second) = head[..turns.len() * 2].split_at_mut(turns.len());
                for ((x, y), turn) in first.iter_mut().zip(second).zip(turns) {
                    [*x, *y] = turned([*x, *y], *turn);
                }
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
fn turned([x, y]: [f32; 2], (cosine, sine): (f32, f32)) -> [f32; 2] {
    [x * cosine - y * sine, x * sine + y * cosine]
}
