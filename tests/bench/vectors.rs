//! The vector index on a file of real vectors.

use std::path::Path;

use groundwork::embed::{Embedder as _, Purpose};
use groundwork::worker::Cancel;

/// Texts that are embedded between two writes.
const TEXTS_AT_ONCE: usize = 2_048;

pub(crate) fn run(arguments: &[String]) {
    match arguments {
        [mode, texts, out] if mode == "embed" => embed(texts.as_ref(), out.as_ref()),
        _ => panic!("vectors takes `embed TEXTS OUT.f32`"),
    }
}

/// Embeds the lines of a file, so that the other modes have real vectors.
fn embed(texts: &Path, out: &Path) {
    use std::io::Write as _;
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let embedder = crate::embed::open(&crate::embed::encoder(None), threads);
    let texts = std::fs::read_to_string(texts).expect("the texts can be read");
    let texts: Vec<&str> = texts.lines().collect();
    let mut file = std::io::BufWriter::new(std::fs::File::create(out).expect("the file can be made"));
    for (at, part) in texts.chunks(TEXTS_AT_ONCE).enumerate() {
        let embeddings = embedder
            .embed(part, Purpose::Passage, &Cancel::new())
            .expect("it embeds");
        for embedding in embeddings {
            for number in embedding.as_slice() {
                file.write_all(&number.to_le_bytes()).expect("the file takes it");
            }
        }
        println!("{} of {}", at * TEXTS_AT_ONCE + part.len(), texts.len());
    }
    file.flush().expect("the file takes it");
}
