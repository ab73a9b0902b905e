//! Weights in the form that candle computes fastest, and the file that keeps them.
//!
//! candle's packed kernels want an inner width that is a multiple of [`WIDTH_UNIT`] and weights of one of
//! [`PACKED_TYPES`]. Other weights are requantized to 8 bits, and a narrower model is widened with zeros: whole heads
//! of zeros attend to zeros, norms are rescaled for the longer vector, so that the logits stay what they were.
//!
//! The file is GGUF with only what the decoder needs, followed by the SHA-256 of all bytes before it:
//!
//! ```text
//! GGUF: groundwork.source_sha256, groundwork.writer_version, general.architecture, llama.*, tensors | 32 bytes
//! ```

use std::fs;
use std::io::{BufReader, Cursor, Read, Seek, Write};
use std::path::{Path, PathBuf};

use candle_core::quantized::gguf_file::{self, Content, Value};
use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{Device, Result, Tensor};
use sha2::{Digest, Sha256};

use super::{number_of, text_of};
use crate::models::InstalledLanguageModel;

/// Goes up when the same source gives other bytes.
pub(super) const WRITER_VERSION: u32 = 1;
/// Inner widths of the packed kernels are multiples of this.
const WIDTH_UNIT: usize = 256;
/// Types that have packed kernels.
const PACKED_TYPES: [GgmlDType; 3] = [GgmlDType::Q8_0, GgmlDType::Q4K, GgmlDType::Q6K];
/// Length of the checksum at the end.
const CHECKSUM_BYTES: usize = 32;

const SOURCE_KEY: &str = "groundwork.source_sha256";
const VERSION_KEY: &str = "groundwork.writer_version";
const WIDTH_KEY: &str = "llama.embedding_length";
const FEED_FORWARD_KEY: &str = "llama.feed_forward_length";
const HEADS_KEY: &str = "llama.attention.head_count";
const KV_HEADS_KEY: &str = "llama.attention.head_count_kv";
const EPSILON_KEY: &str = "llama.attention.layer_norm_rms_epsilon";

/// Returns a GGUF file of the weights as they are computed fastest: what was kept, if it fits, or made now; nothing where
/// the model's own file is fast already.
pub(super) fn load(installed: &InstalledLanguageModel, gguf: &Path) -> Result<Option<Vec<u8>>> {
    let source = &mut BufReader::new(fs::File::open(gguf)?);
    let content = Content::read(source)?;
    let widening = Widening::of(&content);
    if widening.is_none()
        && content
            .tensor_infos
            .values()
            .all(|info| !is_slow(info.ggml_dtype, info.shape.dims()))
    {
        return Ok(None);
    }
    let path = kept_path(installed, gguf);
    match read_kept(&path, &installed.sha256) {
        Ok(Some(bytes)) => return Ok(Some(bytes)),
        Ok(None) => {}
        Err(error) => {
            let error = super::reason_of(&error);
            tracing::warn!(file = %path.display(), error, "cannot use the kept weights, making them again");
        }
    }
    let bytes = requantize(&content, source, widening.as_ref(), &installed.sha256)?;
    if let Err(error) = keep(&path, &bytes) {
        tracing::warn!(file = %path.display(), %error, "cannot keep the requantized weights, each start makes them again");
    }
    Ok(Some(bytes))
}

/// Returns where the requantized weights of a model are kept.
pub(super) fn kept_path(installed: &InstalledLanguageModel, gguf: &Path) -> PathBuf {
    let stem = gguf.file_stem().unwrap_or_default().to_string_lossy();
    installed.directory.join(format!("{stem}.q8_0.gguf"))
}

/// Reads a kept file; nothing when there is none or it is of another source or version.
fn read_kept(path: &Path, source_sha256: &str) -> Result<Option<Vec<u8>>> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let Some((body, checksum)) = bytes.split_last_chunk::<CHECKSUM_BYTES>() else {
        candle_core::bail!("it is too short");
    };
    if Sha256::digest(body).as_slice() != checksum {
        candle_core::bail!("its checksum is wrong");
    }
    let content = Content::read(&mut Cursor::new(body))?;
    let is_current = text_of(&content, SOURCE_KEY) == Some(source_sha256)
        && number_of(&content, VERSION_KEY) == Some(WRITER_VERSION as usize);
    if !is_current {
        return Ok(None);
    }
    Ok(Some(bytes))
}

/// Writes the file whole or not at all.
fn keep(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(directory)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

fn is_slow(kind: GgmlDType, dims: &[usize]) -> bool {
    dims.len() == 2 && !PACKED_TYPES.contains(&kind)
}

fn requantize<R: Read + Seek>(
    content: &Content,
    source: &mut R,
    widening: Option<&Widening>,
    source_sha256: &str,
) -> Result<Vec<u8>> {
    let mut names: Vec<&String> = content.tensor_infos.keys().collect();
    names.sort();
    let mut tensors = Vec::with_capacity(names.len());
    for name in names {
        let tensor = content.tensor(source, name, &Device::Cpu)?;
        tensors.push((name.as_str(), convert(name, tensor, widening)?));
    }
    let metadata = metadata_for(content, widening, source_sha256);
    let metadata: Vec<(&str, &Value)> = metadata.iter().map(|(key, value)| (key.as_str(), value)).collect();
    let tensors: Vec<(&str, &QTensor)> = tensors.iter().map(|(name, tensor)| (*name, tensor)).collect();
    let mut writer = Cursor::new(Vec::new());
    gguf_file::write(&mut writer, &metadata, &tensors)?;
    let mut bytes = writer.into_inner();
    let checksum = Sha256::digest(&bytes);
    bytes.extend_from_slice(checksum.as_slice());
    Ok(bytes)
}

fn convert(name: &str, tensor: QTensor, widening: Option<&Widening>) -> Result<QTensor> {
    let dims = tensor.shape().dims().to_vec();
    if widening.is_none() && !is_slow(tensor.dtype(), &dims) {
        return Ok(tensor);
    }
    let mut values = tensor.dequantize(&Device::Cpu)?;
    if let Some(widening) = widening {
        values = widening.widen(name, &values)?;
    }
    let row = values.dims().last().copied().unwrap_or(0);
    let kind = if dims.len() == 2 && row.is_multiple_of(GgmlDType::Q8_0.block_size()) {
        GgmlDType::Q8_0
    } else {
        GgmlDType::F32
    };
    QTensor::quantize(&values, kind)
}

fn metadata_for(content: &Content, widening: Option<&Widening>, source_sha256: &str) -> Vec<(String, Value)> {
    let mut metadata: Vec<(String, Value)> = content
        .metadata
        .iter()
        .filter(|(key, _)| key.starts_with("llama.") || *key == "general.architecture")
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    if let Some(widening) = widening {
        let replaced = widening.metadata();
        metadata.retain(|(key, _)| replaced.iter().all(|(other, _)| key != other));
        metadata.extend(replaced.into_iter().map(|(key, value)| (key.to_owned(), value)));
    }
    metadata.push((SOURCE_KEY.to_owned(), Value::String(source_sha256.to_owned())));
    metadata.push((VERSION_KEY.to_owned(), Value::U32(WRITER_VERSION)));
    metadata.sort_by(|(a, _), (b, _)| a.cmp(b));
    metadata
}

/// How a model is made wide enough for the packed kernels.
#[derive(Debug, PartialEq)]
struct Widening {
    width: usize,
    wide_width: usize,
    wide_feed_forward: usize,
    head_width: usize,
    wide_heads: usize,
    wide_kv_heads: usize,
    epsilon: f32,
}

impl Widening {
    /// Returns how to widen a model, or nothing when it is wide enough or its heads do not come out whole.
    fn of(content: &Content) -> Option<Self> {
        let width = number_of(content, WIDTH_KEY)?;
        let feed_forward = number_of(content, FEED_FORWARD_KEY)?;
        let heads = number_of(content, HEADS_KEY)?;
        let kv_heads = number_of(content, KV_HEADS_KEY)?;
        let epsilon = content.metadata.get(EPSILON_KEY)?.to_f32().ok()?;
        let wide_width = width.next_multiple_of(WIDTH_UNIT);
        let has_experts = number_of(content, "llama.expert_count").is_some_and(|count| count > 0);
        if width == 0 || wide_width == width || has_experts || heads == 0 || kv_heads == 0 {
            return None;
        }
        let head_width = width / heads;
        let group = heads / kv_heads;
        let is_whole = head_width * heads == width
            && number_of(content, "llama.attention.key_length").is_none_or(|given| given == head_width)
            && group * kv_heads == heads
            && wide_width.is_multiple_of(head_width)
            && (wide_width / head_width).is_multiple_of(group);
        let is_known = content.tensor_infos.keys().all(|name| role_of(name).is_some());
        (is_whole && is_known).then(|| Self {
            width,
            wide_width,
            wide_feed_forward: feed_forward.next_multiple_of(WIDTH_UNIT),
            head_width,
            wide_heads: wide_width / head_width,
            wide_kv_heads: wide_width / head_width / group,
            epsilon,
        })
    }

    fn metadata(&self) -> Vec<(&'static str, Value)> {
        let whole = |number: usize| Value::U32(u32::try_from(number).unwrap_or(u32::MAX));
        vec![
            (WIDTH_KEY, whole(self.wide_width)),
            (FEED_FORWARD_KEY, whole(self.wide_feed_forward)),
            (HEADS_KEY, whole(self.wide_heads)),
            (KV_HEADS_KEY, whole(self.wide_kv_heads)),
            (EPSILON_KEY, Value::F32((f64::from(self.epsilon) * self.share()) as f32)),
        ]
    }

    /// Share of a widened vector that is not zeros: its mean square is smaller by this.
    fn share(&self) -> f64 {
        self.width as f64 / self.wide_width as f64
    }

    fn widen(&self, name: &str, values: &Tensor) -> Result<Tensor> {
        let kv_width = self.wide_kv_heads * self.head_width;
        match role_of(name) {
            Some(Role::Norm) => (pad(values, 0, self.wide_width)? * self.share().sqrt())?.contiguous(),
            Some(Role::Embedding) => pad(values, 1, self.wide_width),
            Some(Role::Square) => pad(&pad(values, 0, self.wide_width)?, 1, self.wide_width),
            Some(Role::KeyOrValue) => pad(&pad(values, 0, kv_width)?, 1, self.wide_width),
            Some(Role::Up) => pad(&pad(values, 0, self.wide_feed_forward)?, 1, self.wide_width),
            Some(Role::Down) => pad(&pad(values, 0, self.wide_width)?, 1, self.wide_feed_forward),
            None => candle_core::bail!("there is no rule to widen {name}"),
        }
    }
}

fn pad(values: &Tensor, dim: usize, size: usize) -> Result<Tensor> {
    let missing = size.saturating_sub(values.dim(dim)?);
    values.pad_with_zeros(dim, 0, missing)?.contiguous()
}

/// What a tensor is for, by which its sides are known.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Role {
    Norm,
    Embedding,
    Square,
    KeyOrValue,
    Up,
    Down,
}

fn role_of(name: &str) -> Option<Role> {
    let part = name
        .strip_prefix("blk.")
        .map_or(Some(name), |rest| rest.split_once('.').map(|(_, part)| part))?;
    match part {
        "output_norm.weight" | "attn_norm.weight" | "ffn_norm.weight" => Some(Role::Norm),
        "token_embd.weight" | "output.weight" => Some(Role::Embedding),
        "attn_q.weight" | "attn_output.weight" => Some(Role::Square),
        "attn_k.weight" | "attn_v.weight" => Some(Role::KeyOrValue),
        "ffn_gate.weight" | "ffn_up.weight" => Some(Role::Up),
        "ffn_down.weight" => Some(Role::Down),
        _ => None,
    }
}
