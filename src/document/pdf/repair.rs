//! A new table of objects for a PDF whose own is wrong.
//!
//! Comes in: the bytes of a PDF. Goes out: the same bytes with a table appended that names each object's place.
//! Always holds: one pass over the bytes; objects in compressed streams are not found.

/// Appends a table of objects made by searching for them; nothing when there is no catalog to start from.
pub(super) fn rebuild(bytes: &[u8]) -> Option<Vec<u8>> {
    let start = find(bytes, b"%PDF", 0).unwrap_or(0);
    let bytes = &bytes[start..];
    let mut objects: Vec<(u32, u16, usize)> = Vec::new();
    let mut at = 0;
    while let Some(found) = find(bytes, b"obj", at) {
        at = found + 3;
        if let Some(object) = numbers_before(bytes, found) {
            objects.push(object);
        }
    }
    // The last one of a number is the newest.
    objects.reverse();
    objects.sort_by_key(|(number, _, _)| *number);
    objects.dedup_by_key(|(number, _, _)| *number);
    let catalog = objects.iter().find(|(_, _, offset)| is_catalog(&bytes[*offset..]))?;
    let size = objects.last()?.0 + 1;
    let mut out = bytes.to_vec();
    out.extend_from_slice(b"\n");
    let table = out.len();
    out.extend_from_slice(b"xref\n0 1\n0000000000 65535 f \n");
    for (number, generation, offset) in &objects {
        if *number != 0 {
            out.extend_from_slice(format!("{number} 1\n{offset:010} {generation:05} n \n").as_bytes());
        }
    }
    let encrypt = entry(bytes, b"/Encrypt").unwrap_or_default();
    let id = entry(bytes, b"/ID").unwrap_or_default();
    let root = format!("{} {} R", catalog.0, catalog.1);
    let trailer = format!("trailer\n<< /Size {size} /Root {root} {encrypt} {id} >>\nstartxref\n{table}\n%%EOF\n");
    out.extend_from_slice(trailer.as_bytes());
    Some(out)
}

fn find(bytes: &[u8], what: &[u8], from: usize) -> Option<usize> {
    let rest = bytes.get(from..)?;
    rest.windows(what.len())
        .position(|window| window == what)
        .map(|at| from + at)
}

/// Reads `12 0 ` before `obj`, and where it begins.
fn numbers_before(bytes: &[u8], end: usize) -> Option<(u32, u16, usize)> {
    let (generation, rest) = number_before(bytes, end)?;
    let (number, start) = number_before(bytes, rest)?;
    Some((number, u16::try_from(generation).ok()?, start))
}

fn number_before(bytes: &[u8], end: usize) -> Option<(u32, usize)> {
    let blank = |at: usize| bytes[at].is_ascii_whitespace();
    let mut stop = end;
    while stop > 0 && end - stop < 8 && blank(stop - 1) {
        stop -= 1;
    }
    let mut start = stop;
    while start > 0 && stop - start < 9 && bytes[start - 1].is_ascii_digit() {
        start -= 1;
    }
    let digits = std::str::from_utf8(&bytes[start..stop]).ok()?;
    Some((digits.parse().ok()?, start))
}

fn is_catalog(object: &[u8]) -> bool {
    let head = &object[..object.len().min(2048)];
    let end = find(head, b"endobj", 0).unwrap_or(head.len());
    let head = &head[..end];
    let Some(at) = find(head, b"/Catalog", 0) else {
        return false;
    };
    find(&head[..at], b"/Type", 0).is_some()
}

/// The value of a key of the old trailer: a reference or an array, as it stands there.
fn entry(bytes: &[u8], key: &[u8]) -> Option<String> {
    let trailer = find(bytes, b"trailer", 0)?;
    let end = bytes.len().min(trailer + 4096);
    let at = find(&bytes[..end], key, trailer)?;
    let value = &bytes[at + key.len()..end];
    let stop = match value.iter().find(|byte| !byte.is_ascii_whitespace())? {
        b'[' => value.iter().position(|byte| *byte == b']')? + 1,
        _ => value.iter().position(|byte| *byte == b'R')? + 1,
    };
    let value = std::str::from_utf8(&value[..stop]).ok()?;
    Some(format!("{}{value}", String::from_utf8_lossy(key)))
}
