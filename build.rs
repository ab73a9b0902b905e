//! Compiles the wire contract under `proto/` and embeds its descriptors for reflection.

use std::path::{Path, PathBuf};

use prost::Message as _;

const PROTO_ROOT: &str = "proto";
const PACKAGE_DIR: &str = "proto/groundwork/v1";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed={PROTO_ROOT}");
    let descriptors = protox::compile(protos(Path::new(PACKAGE_DIR))?, [PROTO_ROOT])?;
    let out_dir = PathBuf::from(std::env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?);
    std::fs::write(out_dir.join("groundwork.bin"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure().compile_fds(descriptors)?;
    Ok(())
}

/// Lists the contract's files, sorted, so that the same sources give the same descriptors everywhere.
fn protos(directory: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut files = std::fs::read_dir(directory)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<std::io::Result<Vec<_>>>()?;
    files.retain(|file| file.extension().is_some_and(|extension| extension == "proto"));
    files.sort();
    Ok(files)
}
