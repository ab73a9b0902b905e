//! Tests of damaged files: an error that wants a rebuild, and never a panic.

use super::*;
use crate::index::vectors::format::{HEADER_BYTES, Section};
use crate::index::vectors::walk::NO_LINK;

/// An index with one small segment, whose file is returned too.
fn sealed() -> (Index, PathBuf, Vec<u8>) {
    let index = Index::filled(&unit_vectors(4_200, 41), 4_200);
    let path = index.vectors.files()[0].path.clone();
    let bytes = fs::read(&path).expect("a file");
    (index, path, bytes)
}

#[track_caller]
fn check_refused(index: &Index, what: &str) {
    match index.reopened() {
        Ok(_) => panic!("opened with {what}"),
        Err(error) => assert!(error.wants_rebuild(), "{what}: {error}"),
    }
}

/// Replaces bytes and gives every checksum the value that fits them, as an attacker or a bug of ours would.
fn forged(index: &Index, path: &Path, bytes: &[u8], change: impl FnOnce(&mut [u8])) -> Result<Segment, Error> {
    let mut bytes = bytes.to_vec();
    change(&mut bytes);
    let number = |bytes: &[u8], at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("8 bytes")) as usize;
    for section in 0..7 {
        let at = 40 + section * 24;
        let start = number(&bytes, at);
        let end = (start + number(&bytes, at + 8)).next_multiple_of(64);
        let Some(content) = bytes.get(start..end) else { continue };
        let checksum = crc32fast::hash(content).to_le_bytes();
        bytes[at + 16..at + 20].copy_from_slice(&checksum);
    }
    let checksum = crc32fast::hash(&bytes[..HEADER_BYTES - 4]).to_le_bytes();
    bytes[HEADER_BYTES - 4..HEADER_BYTES].copy_from_slice(&checksum);
    let forged = index.directory.path().join("forged");
    fs::write(&forged, bytes).expect("written");
    assert!(path.exists());
    Segment::open(&forged, DIMENSIONS)
}

#[test]
fn every_flipped_bit_is_noticed() {
    let (index, path, bytes) = sealed();
    let starts = index.vectors.state().segments[0].clone();
    let mut places: Vec<usize> = (0..HEADER_BYTES).collect();
    // Beginning, middle and end of each section, and whatever a long step meets.
    for range in starts.section_ranges() {
        places.extend([range.start, usize::midpoint(range.start, range.end), range.end - 1]);
    }
    places.extend((0..bytes.len()).step_by(bytes.len() / 100));
    places.push(bytes.len() - 1);
    for at in places {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1 << (at % 8);
        fs::write(&path, damaged).expect("written");
        check_refused(&index, &format!("bit of byte {at}"));
    }
    fs::write(&path, &bytes).expect("written");
    index.reopened().expect("whole again");
}

#[test]
fn every_other_length_is_noticed() {
    let (index, path, bytes) = sealed();
    for length in [0, 1, 7, 100, 255, 256, 257, 4_096, bytes.len() / 2, bytes.len() - 1] {
        fs::write(&path, &bytes[..length]).expect("written");
        check_refused(&index, &format!("length {length}"));
    }
    let mut longer = bytes.clone();
    longer.extend([0; 64]);
    fs::write(&path, longer).expect("written");
    check_refused(&index, "a longer file");
    fs::remove_file(&path).expect("removed");
    check_refused(&index, "no file");
}

#[test]
fn links_that_lead_nowhere_are_noticed() {
    let (index, path, bytes) = sealed();
    let state = index.vectors.state();
    let segment = &state.segments[0];
    forged(&index, &path, &bytes, |_| ()).expect("nothing was changed");
    let at = |section: Section| segment.section_ranges()[section as usize].start;
    let rows = (segment.len() as u32).to_le_bytes();
    let check = |what: &str, at: usize, new: &[u8]| {
        let opened = forged(&index, &path, &bytes, |bytes| {
            bytes[at..at + new.len()].copy_from_slice(new);
        });
        let error = opened.err().unwrap_or_else(|| panic!("opened with {what}"));
        assert!(error.wants_rebuild(), "{what}: {error}");
    };
    check("a link past the last row", at(Section::Base) + 4, &rows);
    check("an upper link past the last row", at(Section::Upper), &rows);
    check("a start that goes back", at(Section::Starts) + 40, &[0xff; 4]);
    check("another first start", at(Section::Starts), &[1, 0, 0, 0]);
    check("another last start", at(Section::Starts) + 4 * segment.len(), &[0; 4]);
    check("ids that do not ascend", at(Section::Ids) + 8, &[0; 8]);
    check("a scale that is no number", at(Section::Fits), &[0xff; 4]);
    check("an entry past the last row", 28, &rows);
    check("a level that is too high", 24, &[200, 0, 0, 0]);
    check("more rows", 16, &[0xff; 4]);
    check("more blocks", 36, &[0xff; 4]);
    check("no rows", 16, &[0; 4]);
    check("another version", 8, &[2]);
    check("other dimensions", 12, &[17]);
    check("another offset", 40, &[1]);
}

#[test]
fn odd_graphs_cannot_lead_astray() {
    let (index, path, bytes) = sealed();
    let state = index.vectors.state();
    let ranges = state.segments[0].section_ranges();
    let base = ranges[Section::Base as usize].clone();
    let upper = ranges[Section::Upper as usize].clone();
    // All links gone; all links to one row; an entry that has no upper levels.
    for link in [NO_LINK, 7] {
        let segment = forged(&index, &path, &bytes, |bytes| {
            for range in [base.clone(), upper.clone()] {
                bytes[range]
                    .chunks_exact_mut(4)
                    .for_each(|place| place.copy_from_slice(&link.to_le_bytes()));
            }
            bytes[28..32].copy_from_slice(&11_u32.to_le_bytes());
        });
        let (mut best, mut scratch) = (Best::new(10), Scratch::default());
        let vector = &unit_vectors(1, 42)[0];
        let asked = Asked {
            query: &Query::new(vector),
            limit: 10,
            accepted: Accepted::Test(&|_| true, 4_200),
            all: 4_200,
        };
        let segment = segment.expect("every link leads to a row");
        let mut work = VectorsWork::default();
        asked.search(&segment, 4_200, &mut best, &mut scratch, &mut work);
        assert_eq!(best.len(), 10);
    }
}

#[test]
fn damaged_manifests_are_noticed() {
    let (index, _, _) = sealed();
    let path = index.path().join("manifest.json");
    let text = fs::read_to_string(&path).expect("a manifest");
    let sound = Manifest::read(&index.path(), DIMENSIONS).expect("sound");
    for at in 0..text.len() {
        for bit in [0, 3, 6] {
            let mut bytes = text.clone().into_bytes();
            bytes[at] ^= 1 << bit;
            fs::write(&path, bytes).expect("written");
            match Manifest::read(&index.path(), DIMENSIONS) {
                // White space may become other white space.
                Ok(manifest) => assert_eq!(manifest, sound, "bit {bit} of byte {at}"),
                Err(error) => assert!(error.wants_rebuild(), "bit {bit} of byte {at}: {error}"),
            }
        }
    }
    for other in ["", "{}", "null", "[1, 2", "\u{0}\u{0}\u{0}", &text[..text.len() - 2]] {
        fs::write(&path, other).expect("written");
        check_refused(&index, other);
    }
    fs::write(&path, text.replace("segment-00000001", "../egment-00000001")).expect("written");
    check_refused(&index, "a file elsewhere");
    fs::remove_file(&path).expect("removed");
    check_refused(&index, "no manifest");
    let other = Vectors::create_anew(&index.path(), 3).expect("made");
    assert!(other.is_empty());
    check_refused(&index, "other dimensions");
}

#[test]
fn leftovers_are_swept_at_opening() {
    let (index, path, bytes) = sealed();
    for left in ["segment-00000002.tmp", "segment-00000009.vectors", "manifest.tmp"] {
        fs::write(index.path().join(left), &bytes[..1_000]).expect("written");
    }
    let reopened = index.reopened().expect("opened");
    assert_eq!(reopened.len(), 4_200);
    let name = path.file_name().expect("a name").to_string_lossy().into_owned();
    assert_eq!(index.files(), BTreeSet::from(["manifest.json".to_owned(), name]));
    // A new segment may have the number of one that was left.
    reopened
        .insert(&rows(&unit_vectors(5_000, 43), 4_201))
        .expect("inserted");
    reopened
        .upkeep(Epoch(8), &|_| true, Pace::UnderLoad, 1, &mut |_| GO_ON)
        .expect("sealed");
    assert_eq!(index.reopened().expect("opened").len(), 9_200);
}

#[test]
fn verification_finds_what_changed() {
    let (index, path, bytes) = sealed();
    assert!(index.vectors.verify().expect("read").is_empty());
    fs::remove_file(&path).expect("removed");
    let mut damaged = bytes;
    damaged[5_000] ^= 1;
    fs::write(&path, damaged).expect("written");
    let manifest = index.path().join("manifest.json");
    fs::write(&manifest, "{}").expect("written");
    let findings = index.vectors.verify().expect("read");
    let found: Vec<_> = findings.iter().map(|finding| finding.path.clone()).collect();
    assert_eq!(found, [manifest, path]);
}
