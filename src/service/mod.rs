//! gRPC: the only place that knows the wire.
//!
//! Comes in: messages of `groundwork.v1`. Goes out: the same, or a status with `google.rpc` details.
//! Not here: decisions; a handler checks, converts, calls [`crate::knowledge_base`], converts.

pub mod pb;
