//! One file of safetensors: which tensors it has, and their numbers, read when they are asked for.
//!
//! ```text
//! length of the header, 8 bytes | header, JSON: type, shape and place of each tensor | numbers
//! ```

use std::collections::HashMap;
use std::fs::File;
use std::io::{Error, ErrorKind, Read as _, Result, Seek as _, SeekFrom};
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use safetensors::tensor::{Dtype, TensorInfo};

use super::reason_of;

/// Bytes of the length of the header.
const LENGTH_BYTES: u64 = 8;
/// Longest header that is read.
const MAX_HEADER_BYTES: u64 = 100 << 20;
/// Key of the header that is no tensor.
const METADATA: &str = "__metadata__";

/// A file whose header was read.
pub(super) struct Shard {
    /// Name of the file, for errors.
    name: String,
    file: File,
    tensors: HashMap<String, TensorInfo>,
    /// Where the numbers begin.
    begin: u64,
}

impl Shard {
    /// Reads the header of a file, and checks that the file holds what it says.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let mut file = File::open(path)?;
        let file_bytes = file.metadata()?.len();
        let mut length = [0; LENGTH_BYTES as usize];
        file.read_exact(&mut length)?;
        let length = u64::from_le_bytes(length);
        if length > MAX_HEADER_BYTES || length > file_bytes.saturating_sub(LENGTH_BYTES) {
            return Err(damaged(format!(
                "its header is said to have {length} bytes, the file has {file_bytes}"
            )));
        }
        let mut header = vec![0; length as usize];
        file.read_exact(&mut header)?;
        let header: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(&header)?;
        let begin = LENGTH_BYTES + length;
        let mut tensors = HashMap::new();
        for (name, value) in header {
            if name == METADATA {
                continue;
            }
            let tensor: TensorInfo =
                serde_json::from_value(value).map_err(|error| damaged(format!("the tensor {name}: {error}")))?;
            let (first, end) = tensor.data_offsets;
            if first > end || end as u64 > file_bytes - begin {
                return Err(damaged(format!(
                    "the tensor {name} ends at byte {}, the file has {file_bytes}",
                    begin.saturating_add(end as u64)
                )));
            }
            tensors.insert(name, tensor);
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Self {
            name,
            file,
            tensors,
            begin,
        })
    }

    /// Returns the names of its tensors.
    pub(super) fn names(&self) -> impl Iterator<Item = &String> {
        self.tensors.keys()
    }

    /// Reads a tensor, if it has it.
    pub(super) fn tensor(&mut self, name: &str) -> Option<candle_core::Result<Tensor>> {
        let info = self.tensors.get(name)?.clone();
        let read = self.read(&info);
        Some(read.map_err(|error| candle_core::Error::Msg(format!("{}: {}", self.name, reason_of(&error)))))
    }

    fn read(&mut self, info: &TensorInfo) -> candle_core::Result<Tensor> {
        let kind = match info.dtype {
            Dtype::F32 => DType::F32,
            Dtype::F16 => DType::F16,
            Dtype::BF16 => DType::BF16,
            other => candle_core::bail!("numbers of the type {other:?} are not supported; supported: BF16, F16, F32"),
        };
        let (first, end) = info.data_offsets;
        let numbers = info
            .shape
            .iter()
            .try_fold(1_usize, |count, side| count.checked_mul(*side));
        let bytes = numbers.and_then(|numbers| numbers.checked_mul(kind.size_in_bytes()));
        if bytes != Some(end - first) {
            let shape = &info.shape;
            candle_core::bail!(
                "it has {} bytes, which is not what numbers of the shape {shape:?} take",
                end - first
            );
        }
        self.file.seek(SeekFrom::Start(self.begin + first as u64))?;
        let mut bytes = vec![0; end - first];
        self.file.read_exact(&mut bytes)?;
        Tensor::from_raw_buffer(&bytes, kind, &info.shape, &Device::Cpu)
    }
}

fn damaged(reason: String) -> Error {
    Error::new(ErrorKind::InvalidData, reason)
}
