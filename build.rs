//! Compiles the wire contract under `proto/` and embeds its descriptors for reflection.

use std::path::PathBuf;

use prost::Message as _;

const PROTOS: [&str; 5] = [
    "groundwork/v1/common.proto",
    "groundwork/v1/document.proto",
    "groundwork/v1/knowledge_base.proto",
    "groundwork/v1/model.proto",
    "groundwork/v1/retrieval.proto",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto");
    let descriptors = protox::compile(PROTOS, ["proto"])?;
    let out_dir = PathBuf::from(std::env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?);
    std::fs::write(out_dir.join("groundwork.bin"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure().compile_fds(descriptors)?;
    Ok(())
}
