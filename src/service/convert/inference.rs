//! How tokens are drawn, off the wire.

use std::collections::HashMap;

use crate::generate::Inference;
use crate::knowledge_base::Error;
use crate::service::pb;

/// Highest temperature.
pub(super) const MAX_TEMPERATURE: f64 = 2.0;
/// Most tokens of an answer.
pub(in crate::service) const MAX_TOKENS: u32 = 4_096;
/// Most stop sequences.
pub(super) const MAX_STOP_SEQUENCES: usize = 16;
/// Longest stop sequence in bytes.
pub(super) const MAX_STOP_SEQUENCE_BYTES: usize = 256;
/// Largest `top_k`.
pub(super) const MAX_TOP_K: u32 = 1_000;
/// Most tokens of a bias.
pub(super) const MAX_LOGIT_BIASES: usize = 1_024;
/// Most of the likeliest tokens that are told for each place.
pub(super) const MAX_TOP_LOGPROBS: u32 = 20;
/// Largest penalty.
const MAX_PENALTY: f64 = 2.0;
/// Largest bias.
const MAX_LOGIT_BIAS: f64 = 100.0;

/// Returns how tokens are drawn; `path` is where that stands in the request.
pub(super) fn inference(path: &str, wire: Option<pb::InferenceConfiguration>) -> Result<Inference, Error> {
    let wire = wire.unwrap_or_default();
    let invalid = |field: &str, reason: String| Error::invalid(format!("{path}.{field}"), reason);
    let mut inference = Inference::default();
    if let Some(temperature) = wire.temperature {
        if !(0.0..=MAX_TEMPERATURE).contains(&temperature) {
            let reason = format!("must be 0 to {MAX_TEMPERATURE}, is {temperature}");
            return Err(invalid("temperature", reason));
        }
        inference.temperature = temperature;
    }
    if let Some(top_p) = wire.top_p {
        if !(top_p > 0.0 && top_p <= 1.0) {
            return Err(invalid("top_p", format!("must be above 0 and up to 1, is {top_p}")));
        }
        inference.top_p = top_p;
    }
    if let Some(max_tokens) = wire.max_tokens {
        if !(1..=MAX_TOKENS).contains(&max_tokens) {
            return Err(invalid(
                "max_tokens",
                format!("must be 1 to {MAX_TOKENS}, is {max_tokens}"),
            ));
        }
        inference.max_tokens = max_tokens as usize;
    }
    let count = wire.stop_sequences.len();
    if count > MAX_STOP_SEQUENCES {
        let reason = format!("at most {MAX_STOP_SEQUENCES} are taken, there are {count}");
        return Err(invalid("stop_sequences", reason));
    }
    for (at, sequence) in wire.stop_sequences.iter().enumerate() {
        if !(1..=MAX_STOP_SEQUENCE_BYTES).contains(&sequence.len()) {
            let reason = format!("must have 1 to {MAX_STOP_SEQUENCE_BYTES} bytes, has {}", sequence.len());
            return Err(invalid(&format!("stop_sequences[{at}]"), reason));
        }
    }
    inference.stop_sequences = wire.stop_sequences;
    inference.seed = wire.seed.unwrap_or_default();
    Ok(inference)
}

/// Adds how tokens are drawn in more detail.
pub(super) fn detailed(inference: Inference, wire: pb::AdditionalModelRequestFields) -> Result<Inference, Error> {
    let number = |field: &str, value: Option<f64>, default: f64, low: f64, high: f64| match value {
        None => Ok(default),
        Some(value) if (low..=high).contains(&value) => Ok(value),
        Some(value) => Err(invalid_detail(field, format!("must be {low} to {high}, is {value}"))),
    };
    let penalty = |field, value| number(field, value, 0.0, -MAX_PENALTY, MAX_PENALTY);
    let repetition_penalty = wire.repetition_penalty.unwrap_or(1.0);
    if !(repetition_penalty > 0.0 && repetition_penalty <= MAX_PENALTY) {
        let reason = format!("must be above 0 and up to {MAX_PENALTY}, is {repetition_penalty}");
        return Err(invalid_detail("repetition_penalty", reason));
    }
    let top_k = wire.top_k.unwrap_or_default();
    if top_k > MAX_TOP_K {
        let reason = format!("must be 1 to {MAX_TOP_K}, or 0 for all tokens, is {top_k}");
        return Err(invalid_detail("top_k", reason));
    }
    if wire.top_logprobs > MAX_TOP_LOGPROBS {
        let reason = format!("must be 0 to {MAX_TOP_LOGPROBS}, is {}", wire.top_logprobs);
        return Err(invalid_detail("top_logprobs", reason));
    }
    let tells = wire.logprobs || wire.top_logprobs > 0;
    Ok(Inference {
        top_k: top_k as usize,
        min_p: number("min_p", wire.min_p, 0.0, 0.0, 1.0)?,
        repetition_penalty,
        presence_penalty: penalty("presence_penalty", wire.presence_penalty)?,
        frequency_penalty: penalty("frequency_penalty", wire.frequency_penalty)?,
        logit_bias: logit_bias(wire.logit_bias)?,
        logprobs: tells.then_some(wire.top_logprobs as usize),
        ..inference
    })
}

fn logit_bias(wire: HashMap<u32, f64>) -> Result<Vec<(u32, f64)>, Error> {
    if wire.len() > MAX_LOGIT_BIASES {
        let reason = format!(
            "at most {MAX_LOGIT_BIASES} tokens can be biased, there are {}",
            wire.len()
        );
        return Err(invalid_detail("logit_bias", reason));
    }
    let mut biases: Vec<(u32, f64)> = wire.into_iter().collect();
    biases.sort_unstable_by_key(|(token, _)| *token);
    let wrong = biases
        .iter()
        .find(|(_, bias)| !(-MAX_LOGIT_BIAS..=MAX_LOGIT_BIAS).contains(bias));
    if let Some((token, bias)) = wrong {
        let reason = format!("must be -{MAX_LOGIT_BIAS} to {MAX_LOGIT_BIAS}, is {bias}");
        return Err(invalid_detail(&format!("logit_bias[{token}]"), reason));
    }
    Ok(biases)
}

fn invalid_detail(field: &str, reason: String) -> Error {
    Error::invalid(format!("additional_model_request_fields.{field}"), reason)
}
