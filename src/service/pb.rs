//! Generated messages and services of `groundwork.v1` enter here.
#![expect(
    clippy::pedantic,
    clippy::allow_attributes,
    clippy::large_enum_variant,
    reason = "generated from the .proto files, where the documentation is"
)]

tonic::include_proto!("groundwork.v1");

/// Encoded descriptors of all messages and services, for reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/groundwork.bin"));
