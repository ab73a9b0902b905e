//! What a GGUF file says about how its model is built, and its tensors.

use std::collections::BTreeSet;
use std::io::{Read, Seek};

use candle_core::quantized::GgmlDType;
use candle_core::quantized::gguf_file::{Content, Value};
use candle_core::{Device, Result};

use super::blueprint::{Architecture, Blueprint, DEFAULT_BASE, DEFAULT_CONTEXT_TOKENS, Scaling, check_size};
use super::weights::{Source, Stored};
use super::{number_of, text_of};
use crate::generate::transformer::{Activation, Pairing, Shape};

/// Factors of the rotation as Llama 3 has them.
const FACTORS: &str = "rope_freqs.weight";
/// Factors of the rotation of Phi 3, for short sequences and for long ones.
const PHI_FACTORS: [&str; 2] = ["rope_factors_short.weight", "rope_factors_long.weight"];
/// Every so many-th layer of Gemma 3 sees all keys.
const GEMMA_PERIOD: usize = 6;
/// Base of the rotation of Gemma 3.
const GEMMA_BASE: f64 = 1_000_000.0;
/// Layers of the one Gemma 3 whose queries are scaled by another width than that of its heads.
const GEMMA_27B_LAYERS: usize = 62;

/// A GGUF file whose header was read.
pub(super) struct GgufFile<'a, R> {
    pub(super) content: &'a Content,
    pub(super) source: &'a mut R,
}

impl<R: Read + Seek> Source for GgufFile<'_, R> {
    fn names(&self) -> BTreeSet<String> {
        self.content.tensor_infos.keys().cloned().collect()
    }

    fn own_name(&self, name: &str) -> String {
        name.to_owned()
    }

    fn tensor(&mut self, name: &str) -> Result<Stored> {
        let tensor = self.content.tensor(self.source, name, &Device::Cpu)?;
        if tensor.dtype() == GgmlDType::Q8_1 {
            candle_core::bail!("weights of the type Q8_1 are not supported");
        }
        Ok(Stored::Quantized(tensor))
    }
}

impl<R: Read + Seek> GgufFile<'_, R> {
    /// Reads how the model is built; `name` is its `general.architecture`.
    pub(super) fn blueprint(&mut self, name: &str, architecture: Architecture) -> Result<Blueprint> {
        let metadata = Metadata {
            content: self.content,
            prefix: name,
        };
        metadata.check_supported()?;
        let shape = metadata.shape(architecture)?;
        let layers = metadata.required("block_count")?;
        check_size(shape, layers)?;
        let is_gemma = architecture == Architecture::Gemma3;
        let default_base = if is_gemma { GEMMA_BASE } else { DEFAULT_BASE };
        let local_base = metadata.float("rope.freq_base_swa");
        Ok(Blueprint {
            architecture,
            shape,
            context_tokens: metadata.number("context_length").unwrap_or(DEFAULT_CONTEXT_TOKENS),
            windows: metadata.windows(architecture, layers),
            pairing: match architecture {
                Architecture::Llama => Pairing::Neighbours,
                _ => Pairing::Halves,
            },
            turned: metadata
                .number("rope.dimension_count")
                .map_or(shape.head_width, |turned| turned.min(shape.head_width)),
            base: metadata.float("rope.freq_base").map_or(default_base, f64::from),
            local_base: is_gemma.then(|| local_base.map_or(DEFAULT_BASE, f64::from)),
            scaling: self.scaling(&metadata)?,
            norm_offset: 0.0,
            is_tied: false,
        })
    }

    fn scaling(&mut self, metadata: &Metadata<'_>) -> Result<Scaling> {
        let linear = metadata.float("rope.scaling.factor");
        let linear = linear.or_else(|| metadata.float("rope.scale_linear"));
        let kind = metadata.text("rope.scaling.type");
        let has = |name: &str| self.content.tensor_infos.contains_key(name);
        if has(PHI_FACTORS[0]) && has(PHI_FACTORS[1]) {
            return Ok(Scaling::Long {
                short: self.tensor(PHI_FACTORS[0])?.numbers()?,
                long: self.tensor(PHI_FACTORS[1])?.numbers()?,
                first_context_tokens: metadata.required("rope.scaling.original_context_length")?,
                magnitude: metadata.float("rope.scaling.attn_factor").unwrap_or(1.0),
            });
        }
        match kind.unwrap_or("none") {
            _ if has(FACTORS) => Ok(Scaling::Factors(self.tensor(FACTORS)?.numbers()?)),
            "none" => Ok(match metadata.float("rope.scale_linear") {
                Some(factor) if factor > 0.0 => Scaling::Linear(factor),
                _ => Scaling::None,
            }),
            "linear" => match linear {
                Some(factor) if factor > 0.0 => Ok(Scaling::Linear(factor)),
                _ => candle_core::bail!("its rotation is scaled by no factor above 0"),
            },
            other => candle_core::bail!(
                "scaling of the rotation by `{other}` is not supported; supported: none, linear, the factors of Llama 3 \
                 and of Phi 3"
            ),
        }
    }
}

/// Checks that a file of so many bytes holds all tensors that its header names.
pub(super) fn check_tensors(content: &Content, bytes: u64) -> std::result::Result<(), String> {
    let mut tensors: Vec<_> = content.tensor_infos.iter().collect();
    tensors.sort_unstable_by_key(|(name, tensor)| (tensor.offset, *name));
    for (name, tensor) in tensors {
        let dims = tensor.shape.dims();
        let numbers = dims
            .iter()
            .try_fold(1_u64, |numbers, side| numbers.checked_mul(*side as u64));
        let (block, block_bytes) = (
            tensor.ggml_dtype.block_size() as u64,
            tensor.ggml_dtype.type_size() as u64,
        );
        let own_bytes = numbers.and_then(|numbers| (numbers / block).checked_mul(block_bytes));
        let begin = content.tensor_data_offset.checked_add(tensor.offset);
        let end = begin.zip(own_bytes).and_then(|(begin, own)| begin.checked_add(own));
        match end {
            Some(end) if end <= bytes => {}
            Some(end) => {
                return Err(format!(
                    "it is cut short: the tensor {name} ends at byte {end}, the file has {bytes}"
                ));
            }
            None => {
                return Err(format!(
                    "the tensor {name} has the shape {dims:?}, which no file can hold"
                ));
            }
        }
    }
    Ok(())
}

/// The metadata of one architecture.
struct Metadata<'a> {
    content: &'a Content,
    prefix: &'a str,
}

impl Metadata<'_> {
    fn key(&self, key: &str) -> String {
        format!("{}.{key}", self.prefix)
    }

    fn number(&self, key: &str) -> Option<usize> {
        number_of(self.content, &self.key(key))
    }

    fn required(&self, key: &str) -> Result<usize> {
        let Some(number) = self.number(key) else {
            candle_core::bail!("its metadata has no number {}", self.key(key));
        };
        Ok(number)
    }

    fn float(&self, key: &str) -> Option<f32> {
        self.content.metadata.get(&self.key(key))?.to_f32().ok()
    }

    fn text(&self, key: &str) -> Option<&str> {
        text_of(self.content, &self.key(key))
    }

    /// Refuses what would be computed otherwise than the model was trained.
    fn check_supported(&self) -> Result<()> {
        if self.number("expert_count").is_some_and(|experts| experts > 0) {
            candle_core::bail!("mixtures of experts are not supported");
        }
        let unknown = [
            "attn_logit_softcapping",
            "final_logit_softcapping",
            "attention.temperature_scale",
        ];
        let given = |key: &&str| self.float(key).is_some_and(|number| number != 0.0);
        if let Some(key) = unknown.iter().find(|key| given(key)) {
            candle_core::bail!("its metadata has {}, which is not supported", self.key(key));
        }
        Ok(())
    }

    fn shape(&self, architecture: Architecture) -> Result<Shape> {
        let (width, heads) = (
            self.required("embedding_length")?,
            self.required("attention.head_count")?,
        );
        let Some(epsilon) = self.float("attention.layer_norm_rms_epsilon") else {
            let key = self.key("attention.layer_norm_rms_epsilon");
            candle_core::bail!("its metadata has no number {key}");
        };
        let of_head = width.checked_div(heads).unwrap_or(0);
        let head_width = self.number("attention.key_length").unwrap_or(of_head);
        let value_width = self.number("attention.value_length").unwrap_or(head_width);
        if value_width != head_width {
            candle_core::bail!("its keys have {head_width} numbers, its values {value_width}: they must have as many");
        }
        let is_gemma = architecture == Architecture::Gemma3;
        let scaled_by = if is_gemma && self.required("block_count")? == GEMMA_27B_LAYERS {
            of_head
        } else {
            head_width
        };
        Ok(Shape {
            width,
            heads,
            kv_heads: self.number("attention.head_count_kv").unwrap_or(heads),
            head_width,
            feed_forward: self.required("feed_forward_length")?,
            epsilon,
            embedding_scale: if is_gemma { (width as f32).sqrt() } else { 1.0 },
            query_scale: 1.0 / (scaled_by as f32).sqrt(),
            activation: if is_gemma {
                Activation::GeluTanh
            } else {
                Activation::Silu
            },
        })
    }

    /// Returns how many keys queries of each layer see.
    fn windows(&self, architecture: Architecture, layers: usize) -> Vec<Option<usize>> {
        let window = self.number("attention.sliding_window").filter(|window| *window > 0);
        let pattern = self.content.metadata.get(&self.key("attention.sliding_window_pattern"));
        let sees_few = |layer: usize| match (architecture, pattern) {
            // Their files name windows that the models were not trained with.
            (Architecture::Qwen2 | Architecture::Qwen3, _) => false,
            (_, Some(Value::Array(layers))) => {
                matches!(layers.get(layer), Some(Value::Bool(true)))
            }
            (Architecture::Gemma3, _) => {
                let period = self.number("attention.sliding_window_pattern");
                !(layer + 1).is_multiple_of(period.unwrap_or(GEMMA_PERIOD))
            }
            _ => true,
        };
        (0..layers).map(|layer| window.filter(|_| sees_few(layer))).collect()
    }
}
