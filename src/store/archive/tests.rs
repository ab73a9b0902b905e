//! The container and the manifest, where the border cannot reach them.

use std::time::SystemTime;

use sha2::{Digest as _, Sha256};

use super::manifest::MANIFEST_ENTRY;
use super::tar;
use super::unpack::ArchiveReader;
use super::{ArchiveFile, ArchiveKind, Manifest};
use crate::chunk::ChunkConfig;
use crate::document::hex;
use crate::document::metadata::AttributeType;
use crate::document::schema::{DeclaredAttribute, MetadataSchema};
use crate::store::{BaseRecord, OriginalContent, Retention};
use crate::worker::Cancel;

fn base() -> BaseRecord {
    BaseRecord {
        id: "01abc".to_owned(),
        name: "kb".to_owned(),
        description: "Texts with \"quotes\" and ünïcode".to_owned(),
        embedding_model_id: "hashing".to_owned(),
        dimensions: 4,
        chunking: ChunkConfig::default(),
        language: "en".to_owned(),
        tags: [("team".to_owned(), "search".to_owned())].into(),
        created_at: SystemTime::UNIX_EPOCH,
        updated_at: SystemTime::UNIX_EPOCH,
        retention: Retention::default(),
        original_content: OriginalContent::default(),
        metadata_schema: MetadataSchema {
            attributes: vec![DeclaredAttribute {
                key: "year".to_owned(),
                kind: AttributeType::Number,
                description: "when it came out".to_owned(),
            }],
            is_strict: true,
        },
    }
}

fn file(path: &str, content: &[u8]) -> ArchiveFile {
    ArchiveFile {
        path: path.to_owned(),
        byte_size: content.len() as u64,
        sha256: hex(&Sha256::digest(content)),
    }
}

/// An archive whose manifest names these files, and whose entries are these.
fn archive(files: Vec<ArchiveFile>, entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut manifest = Manifest::new(ArchiveKind::Backup, base());
    manifest.files = files;
    let record = manifest.seal();
    let mut bytes = Vec::new();
    for (name, content) in std::iter::once((MANIFEST_ENTRY, record.as_slice())).chain(entries.iter().copied()) {
        bytes.extend(tar::header(name, content.len() as u64));
        bytes.extend(content);
        bytes.extend(vec![0; tar::padding(content.len() as u64)]);
    }
    bytes.extend(tar::END);
    bytes
}

/// Unpacks an archive into a new directory, and returns the message of its refusal.
fn refusal(archive: &[u8]) -> Option<String> {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut source = archive;
    let unpacked = ArchiveReader::open(&mut source, ArchiveKind::Backup)
        .and_then(|reader| reader.unpack(directory.path(), &Cancel::new(), &mut |_| {}));
    unpacked.err().map(|error| error.to_string())
}

#[test]
fn sizes_beyond_octal_digits_are_written_as_tar_does() {
    let small = tar::header("a", 0o77_777_777_777);
    assert_eq!(&small[124..136], b"77777777777\0");
    let large = tar::header("a", 1 << 33);
    assert_eq!(&large[124..136], &[0x80, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0]);
    assert_eq!(tar::size_of(&small, "a"), Some((1 << 33) - 1));
    assert_eq!(tar::size_of(&small, "b"), None);
}

#[test]
fn manifest_comes_back_as_it_was_sealed() {
    let mut manifest = Manifest::new(ArchiveKind::Backup, base());
    manifest.files = vec![file("store.sqlite", b"content")];
    let bytes = manifest.seal();
    assert_eq!(
        Manifest::parse(&bytes, ArchiveKind::Backup).expect("it is whole"),
        manifest
    );
    let zeros = String::from_utf8(bytes)
        .expect("JSON")
        .replace(&manifest.root_hash, &"0".repeat(64));
    assert_eq!(
        hex(&Sha256::digest(zeros)),
        manifest.root_hash,
        "anybody can compute the root hash"
    );
}

#[test]
fn names_lead_nowhere_else() {
    let store = || file("store.sqlite", b"store");
    let long = format!("vectors/{}", "v".repeat(100));
    let names = [
        "../store.sqlite",
        "/etc/passwd",
        "vectors/../../x",
        "vectors/",
        "vectors/..",
        "vectors/.hidden",
        "other",
        "terms/meta.json",
        "store.sqlite",
        "terms",
        "vectors/a/b",
        "vectors/a\\b",
        "vectors/a\u{e9}",
        "",
        &long,
    ];
    for name in names {
        let told = refusal(&archive(
            vec![store(), file(name, b"x")],
            &[("store.sqlite", b"store"), ("x", b"x")],
        ));
        let told = told.unwrap_or_else(|| panic!("`{name}` is taken"));
        assert!(told.contains("manifest.json"), "`{name}`: {told}");
    }
    assert_eq!(
        refusal(&archive(
            vec![store(), file("vectors/segment-1", b"x")],
            &[("store.sqlite", b"store"), ("vectors/segment-1", b"x")]
        )),
        None
    );
}

#[test]
fn entries_must_be_those_of_the_manifest() {
    let store = || vec![file("store.sqlite", b"store")];
    let check = |archive: &[u8], words: &str| {
        let told = refusal(archive).unwrap_or_else(|| panic!("taken, and not refused with `{words}`"));
        assert!(told.contains(words), "`{told}` does not say `{words}`");
    };
    check(
        &archive(store(), &[("other", b"store")]),
        "`other` stands where store.sqlite must stand",
    );
    check(
        &archive(store(), &[]),
        "the end of the archive stands where store.sqlite must stand",
    );
    check(&archive(store(), &[("store.sqlite", b"stare")]), "SHA-256");
    check(
        &archive(store(), &[("store.sqlite", b"store"), ("more", b"x")]),
        "goes on after its end",
    );
    check(&archive(Vec::new(), &[]), "first file is not store.sqlite");
    let mut huge = store();
    huge[0].byte_size = u64::MAX / 2;
    check(&archive(huge, &[("store.sqlite", b"store")]), "free; make room");
    let newer = archive(store(), &[("store.sqlite", b"store")]);
    let newer = String::from_utf8_lossy(&newer).replace("\"format_version\": 1", "\"format_version\": 9");
    check(newer.as_bytes(), "format 9");
}
