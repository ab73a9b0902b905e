//! Tests of models.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::{
    Availability, Catalog, Error, FileState, InstalledModel, LanguageModelSource, ModelStore, Precision, PullEvent,
    stamp,
};
use crate::worker::{Cancel, Stopped};

const CONTENT: &[u8] = b"GGUF and then some";

/// A store over a temporary directory, and a language model `tiny` of one file with these sources.
struct Fixture {
    directory: tempfile::TempDir,
    sources: String,
    searched: Vec<PathBuf>,
}

impl Fixture {
    fn new() -> Self {
        Self {
            directory: tempfile::tempdir().expect("a temporary directory can be made"),
            sources: String::new(),
            searched: Vec::new(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn write(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("it has a parent")).expect("directories can be made");
        fs::write(&path, content).expect("files can be written");
        path
    }

    fn source(mut self, source: &str) -> Self {
        self.sources.push_str(source);
        self.sources.push(',');
        self
    }

    fn path_source(self, name: &str, content: &[u8]) -> Self {
        let path = self.write(name, content);
        let source = format!("{{ path = {:?} }}", path.display().to_string());
        self.source(&source)
    }

    fn store(&self) -> ModelStore {
        let text = format!(
            "[models.tiny]\nmodality = \"text\"\n[[models.tiny.files]]\nname = \"tiny.gguf\"\nsha256 = \"{}\"\nsources = [{}]",
            stamp::hash_bytes(CONTENT),
            self.sources
        );
        let catalog = Catalog::with_user_text(&text, "own.toml").expect("the catalog is sound");
        ModelStore::open(catalog, self.path("cache"), self.searched.clone()).expect("the store opens")
    }

    fn file(&self) -> PathBuf {
        self.path("cache/tiny/tiny.gguf")
    }
}

fn pull(store: &ModelStore) -> Result<Vec<PullEvent>, Error> {
    let mut events = Vec::new();
    store.pull("tiny", &mut |event| events.push(event), &Cancel::new())?;
    Ok(events)
}

fn wheel(path: &Path, member: &str, content: &[u8]) {
    let file = fs::File::create(path).expect("files can be written");
    let mut archive = zip::ZipWriter::new(file);
    archive
        .start_file(member, zip::write::SimpleFileOptions::default())
        .expect("archives can be written");
    archive.write_all(content).expect("archives can be written");
    archive.finish().expect("archives can be written");
}

#[test]
fn pulled_model_is_installed() {
    let fixture = Fixture::new().path_source("elsewhere", CONTENT);
    let store = fixture.store();
    assert_eq!(
        store.availability("tiny").expect("it is known"),
        Availability::NotInstalled
    );
    let events = pull(&store).expect("the source serves");
    assert_eq!(
        events.last(),
        Some(&PullEvent::Done {
            file: "tiny.gguf".to_owned()
        })
    );
    assert!(events.iter().any(|event| matches!(
        event,
        PullEvent::Fetching { bytes_done, bytes_total: Some(total), .. } if bytes_done == total && *total == CONTENT.len() as u64
    )));
    let InstalledModel::LanguageModel(model) = store.installed("tiny").expect("it is here") else {
        panic!("a text model is a language model");
    };
    assert_eq!(fs::read(model.source.path()).expect("it is here"), CONTENT);
    assert_eq!(model.sha256, stamp::hash_bytes(CONTENT));
}

#[test]
fn installed_files_are_never_fetched_again() {
    let fixture = Fixture::new().path_source("elsewhere", CONTENT);
    pull(&fixture.store()).expect("the source serves");
    fs::remove_file(fixture.path("elsewhere")).expect("it is there");
    assert_eq!(pull(&fixture.store()).expect("nothing is needed"), []);
    fixture.store().installed("tiny").expect("nothing is needed");
}

#[test]
fn file_of_another_hash_is_refused() {
    let fixture = Fixture::new().path_source("elsewhere", b"something else");
    let error = pull(&fixture.store()).expect_err("the hash is wrong").to_string();
    assert!(error.contains(&stamp::hash_bytes(b"something else")), "{error}");
    assert!(error.contains(&stamp::hash_bytes(CONTENT)), "{error}");
    assert!(!fixture.file().exists());
}

#[test]
fn next_source_serves_after_failures() {
    let fixture = Fixture::new()
        .path_source("wrong", b"something else")
        .source("{ path = \"/nowhere/tiny.gguf\" }")
        .path_source("right", CONTENT);
    let events = pull(&fixture.store()).expect("the last source serves");
    let failures = events
        .iter()
        .filter(|event| matches!(event, PullEvent::SourceFailed { .. }));
    assert_eq!(failures.count(), 2);
}

#[test]
fn error_lists_every_source_tried() {
    let mut fixture = Fixture::new()
        .path_source("wrong", b"something else")
        .source("{ path = \"/nowhere/tiny.gguf\" }")
        .source("{ wheel = \"some-model==1.0\", member = \"absent.gguf\" }");
    fixture.searched.push(fixture.path("stick"));
    fixture.write("stick/other", b"");
    wheel(
        &fixture.path("stick/some_model-1.0-py3-none-any.whl"),
        "present.gguf",
        CONTENT,
    );
    let error = pull(&fixture.store()).expect_err("no source serves").to_string();
    for expected in [
        "stick: holds no",
        "wrong: has the SHA-256",
        "/nowhere/tiny.gguf: ",
        "some-model==1.0: ",
        "absent.gguf",
    ] {
        assert!(error.contains(expected), "{expected} is not in {error}");
    }
}

#[test]
fn directories_of_the_user_come_first() {
    for name in ["stick/tiny/tiny.gguf", "stick/tiny.gguf"] {
        let mut fixture = Fixture::new().source("{ path = \"/nowhere/tiny.gguf\" }");
        fixture.searched.push(fixture.path("stick"));
        fixture.write(name, CONTENT);
        let events = pull(&fixture.store()).expect("the directory serves");
        assert!(
            !events
                .iter()
                .any(|event| matches!(event, PullEvent::SourceFailed { .. })),
            "{events:?}"
        );
    }
}

#[test]
fn wheels_of_the_user_are_opened() {
    let mut fixture = Fixture::new().source("{ wheel = \"Some-Model==1.0\", member = \"inside/tiny.gguf\" }");
    fixture.searched.push(fixture.path("stick"));
    fixture.write("stick/some_model-1.0.1-py3-none-any.whl", b"another version");
    wheel(
        &fixture.path("stick/some_model-1.0-py3-none-any.whl"),
        "inside/tiny.gguf",
        CONTENT,
    );
    pull(&fixture.store()).expect("the wheel serves");
    assert_eq!(fs::read(fixture.file()).expect("it is here"), CONTENT);
}

#[test]
fn changed_file_is_noticed_and_replaced() {
    let fixture = Fixture::new().path_source("elsewhere", CONTENT);
    let store = fixture.store();
    pull(&store).expect("the source serves");
    fs::write(fixture.file(), b"GGUF and then same").expect("it can be written");
    let path = fixture.file();
    fs::File::options()
        .write(true)
        .open(&path)
        .and_then(|file| file.set_modified(std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(1)))
        .expect("times can be set");
    assert!(matches!(store.installed("tiny"), Err(Error::WrongHash { path: damaged, .. }) if damaged == path));
    pull(&store).expect("the source serves again");
    store.installed("tiny").expect("it is whole again");
}

#[test]
fn verify_reads_what_the_stamp_vouches_for() {
    let fixture = Fixture::new().path_source("elsewhere", CONTENT);
    let store = fixture.store();
    pull(&store).expect("the source serves");
    let path = fixture.file();
    let modified = fs::metadata(&path)
        .and_then(|metadata| metadata.modified())
        .expect("it is here");
    fs::write(&path, b"GGUF and then same").expect("it can be written");
    let file = fs::File::options().write(true).open(&path).expect("it can be opened");
    file.set_modified(modified).expect("times can be set");
    let reports = store.verify("tiny").expect("it can be read");
    assert!(matches!(reports[..], [ref report] if matches!(report.state, FileState::Damaged { .. })));
}

#[test]
fn two_fetchers_fetch_once() {
    let fixture = Fixture::new().path_source("elsewhere", CONTENT);
    let fetched = std::thread::scope(|scope| {
        let fetchers: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| pull(&fixture.store()).expect("the source serves")))
            .collect();
        let events = fetchers
            .into_iter()
            .map(|fetcher| fetcher.join().expect("it did not panic"));
        events
            .filter(|events| events.iter().any(|event| matches!(event, PullEvent::Done { .. })))
            .count()
    });
    assert_eq!(fetched, 1);
}

#[test]
fn waiting_for_the_lock_can_be_stopped() {
    let fixture = Fixture::new().path_source("elsewhere", CONTENT);
    let store = fixture.store();
    let held = fs::File::create(fixture.path("cache/.lock")).expect("it can be written");
    held.lock().expect("it is free");
    let cancel = Cancel::with_deadline(Some(Instant::now() + Duration::from_millis(50)));
    let mut events = Vec::new();
    let result = store.pull("tiny", &mut |event| events.push(event), &cancel);
    assert!(matches!(result, Err(Error::Stopped(Stopped::DeadlineExceeded))));
    assert_eq!(events, [PullEvent::Waiting]);
}

#[test]
fn leftovers_of_a_crash_are_removed() {
    let fixture = Fixture::new().path_source("elsewhere", CONTENT);
    fixture.write("cache/.fetch-crashed/half.whl", b"half");
    pull(&fixture.store()).expect("the source serves");
    assert!(!fixture.path("cache/.fetch-crashed").exists());
}

#[test]
fn removed_model_is_gone() {
    let fixture = Fixture::new().path_source("elsewhere", CONTENT);
    let store = fixture.store();
    pull(&store).expect("the source serves");
    store.remove("tiny", &Cancel::new()).expect("it can be removed");
    store.remove("tiny", &Cancel::new()).expect("twice is once");
    assert!(matches!(store.installed("tiny"), Err(Error::NotInstalled { .. })));
}

#[test]
fn directory_with_one_gguf_is_a_language_model() {
    let fixture = Fixture::new();
    let open = |fixture: &Fixture| {
        let catalog = Catalog::open(None, &[fixture.path("own")])?;
        let store = ModelStore::open(catalog, fixture.path("cache-of-own"), Vec::new())?;
        store.pull("own", &mut |_| {}, &Cancel::new())
    };
    fixture.write("own/README.md", b"");
    assert!(matches!(open(&fixture), Err(Error::Directory { .. })));
    fixture.write("own/one.gguf", CONTENT);
    let Ok(InstalledModel::LanguageModel(model)) = open(&fixture) else {
        panic!("one file is enough");
    };
    assert_eq!(
        (model.model_id.as_str(), model.sha256),
        ("own", stamp::hash_bytes(CONTENT))
    );
    fixture.write("own/two.gguf", CONTENT);
    assert!(matches!(open(&fixture), Err(Error::Directory { .. })));
}

#[test]
fn built_in_catalog_is_sound() {
    let catalog = Catalog::built_in().expect("it is sound");
    for model in catalog.models() {
        assert!(!model.license.is_empty() && !model.provider.is_empty(), "{}", model.id);
        assert!(
            model
                .files
                .iter()
                .all(|file| file.sha256.is_some() && file.size_bytes > 0),
            "{}",
            model.id
        );
    }
    assert!(matches!(catalog.model("none"), Err(Error::UnknownModel { .. })));
}

#[test]
fn own_catalog_changes_single_keys() {
    let text = "[models.all-minilm-l6-v2]\nprecision = \"f32\"\nquery_prefix = \"query: \"";
    let catalog = Catalog::with_user_text(text, "own.toml").expect("it is sound");
    let model = catalog.model("all-minilm-l6-v2").expect("it is built in");
    assert_eq!(
        (model.precision, model.query_prefix.as_str()),
        (Precision::F32, "query: ")
    );
    assert_eq!((model.files.len(), model.dimensions), (3, 384));
}

#[test]
fn models_of_fastembed_need_only_their_name() {
    let text = "[models.bge]\nmodality = \"embedding\"\nfastembed = \"BGESmallENV15\"";
    let catalog = Catalog::with_user_text(text, "own.toml").expect("it is sound");
    let model = catalog.model("bge").expect("it was added");
    assert_eq!((model.dimensions, model.graph.as_deref()), (384, Some("model.onnx")));
    assert!(model.files.iter().any(|file| file.name == "tokenizer.json"));
}

#[test]
fn unsound_catalogs_are_refused_by_key() {
    let check = |text: &str, key: &str| {
        let error = Catalog::with_user_text(text, "own.toml")
            .expect_err("it is not sound")
            .to_string();
        assert!(
            error.contains("own.toml") && error.contains(key),
            "{key} is not in {error}"
        );
    };
    let hash = "0".repeat(64);
    check("[models.x]\nmodality = \"text\"\ncolour = 1", "colour");
    check("[model.x]", "model");
    check("[models.x]\nlicense = \"MIT\"", "models.x.modality");
    check("[models.x]\nmodality = \"sound\"", "sound");
    check("[models.x]\nmodality = \"text\"", "models.x needs exactly one");
    check(
        "[models.x]\nmodality = \"embedding\"\nfiles = []",
        "models.x.dimensions",
    );
    check(
        "[models.x]\nmodality = \"embedding\"\nfastembed = \"Nothing\"",
        "models.x.fastembed",
    );
    check("[models.\"../x\"]\nmodality = \"text\"\nfiles = []", "../x");
    let file = |file: &str| format!("[models.x]\nmodality = \"text\"\nfiles = [{file}]");
    check(&file("{ name = \"a\", sha256 = \"12\" }"), "models.x.files[0].sha256");
    check(
        &file(&format!("{{ name = \"../a\", sha256 = \"{hash}\" }}")),
        "models.x.files[0].name",
    );
    for source in [
        "hub = \"a\"",
        "wheel = \"a==1\"",
        "wheel = \"-r==1\", member = \"b\"",
        "path = \"a\", hub = \"b\"",
    ] {
        let text = file(&format!(
            "{{ name = \"a\", sha256 = \"{hash}\", sources = [{{ {source} }}] }}"
        ));
        check(&text, "models.x.files[0].sources[0]");
    }
}

#[test]
fn directories_do_not_take_the_name_of_another_model() {
    let fixture = Fixture::new();
    for name in ["smollm2-135m-instruct", "one/mine", "two/mine"] {
        fixture.write(&format!("{name}/model.gguf"), b"GGUF");
    }
    let open = |names: &[&str]| {
        let directories: Vec<_> = names.iter().map(|name| fixture.path(name)).collect();
        Catalog::open(None, &directories).map(|catalog| catalog.models().count())
    };
    let alone = open(&["one/mine"]).expect("the name is free");
    assert_eq!(open(&["one/mine", "one/mine"]).expect("it is the same"), alone);
    for names in [&["smollm2-135m-instruct"][..], &["one/mine", "two/mine"]] {
        let error = open(names).expect_err("the name is taken").to_string();
        assert!(error.contains("there is another model `"), "{error}");
    }
}

#[test]
fn directories_of_safetensors_are_language_models() {
    let fixture = Fixture::new();
    fixture.write("my-llama/config.json", br#"{"architectures": ["LlamaForCausalLM"]}"#);
    fixture.write("my-llama/tokenizer.json", b"{}");
    let index = |second: &str| {
        let index = format!(r#"{{"weight_map": {{"a": "one.safetensors", "b": "{second}", "c": "one.safetensors"}}}}"#);
        fixture.write("my-llama/model.safetensors.index.json", index.as_bytes());
    };
    let catalog = Catalog::open(None, &[fixture.path("my-llama")]).expect("the directory is described");
    let store = ModelStore::open(catalog, fixture.path("cache"), Vec::new()).expect("the store opens");
    let installed = || match store.installed("my-llama")? {
        InstalledModel::LanguageModel(model) => Ok(model),
        InstalledModel::Encoder(_) => panic!("a causal model makes text"),
    };
    let check_refused = |expected: &str| {
        let error = installed().map(drop).map_err(|error: Error| error.to_string());
        assert!(error.as_ref().is_err_and(|text| text.contains(expected)), "{error:?}");
    };
    check_refused("it holds neither model.safetensors nor model.safetensors.index.json that names files");
    index("../two.safetensors");
    check_refused("names `../two.safetensors`");
    index("two.safetensors");
    check_refused("it holds no one.safetensors");
    fixture.write("my-llama/one.safetensors", b"1");
    fixture.write("my-llama/two.safetensors", b"2");
    let first = installed().expect("it is whole");
    let LanguageModelSource::Safetensors { directory, weights } = &first.source else {
        panic!("there is no GGUF file");
    };
    let names: Vec<_> = weights
        .iter()
        .filter_map(|path| path.strip_prefix(directory).ok())
        .collect();
    assert_eq!(names, ["one.safetensors", "two.safetensors"].map(Path::new));
    fixture.write("my-llama/two.safetensors", b"another");
    assert_ne!(installed().expect("it is whole").sha256, first.sha256);
}

#[test]
fn directories_leave_only_what_serves_them() {
    let fixture = Fixture::new();
    let path = fixture.write("own/one.gguf", CONTENT);
    fixture.write("causal/config.json", br#"{"architectures": ["LlamaForCausalLM"]}"#);
    fixture.write("causal/model.safetensors", CONTENT);
    fixture.write("encoder/config.json", b"{}");
    fixture.write("encoder/tokenizer.json", b"{}");
    fixture.write("encoder/model.safetensors", CONTENT);
    let open = |names: &[&str]| {
        let paths: Vec<PathBuf> = names.iter().map(|name| fixture.path(name)).collect();
        let catalog = Catalog::open(None, &paths).expect("the directories are described");
        ModelStore::open(catalog, fixture.path("cache"), Vec::new()).expect("the store opens")
    };
    let made = || {
        let entries = fs::read_dir(fixture.path("cache")).expect("it is there").flatten();
        let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
        names.filter(|name| name.starts_with("local-")).count()
    };
    let store = open(&["own", "causal", "encoder"]);
    let error = store.installed("causal").expect_err("a file is missing").to_string();
    assert!(error.contains("it holds no tokenizer.json"), "{error}");
    store.installed("encoder").expect_err("it is none");
    assert_eq!(made(), 0, "broken models leave nothing");
    store.installed("own").expect("it is whole");
    assert_eq!(made(), 1);
    store.discard("own");
    assert_eq!(made(), 0, "nor does one that cannot be loaded");
    store.installed("own").expect("it is whole");
    drop(store);
    open(&[]);
    assert_eq!(made(), 1, "it may be wanted again");
    fs::remove_file(path).expect("it is there");
    fs::remove_dir(fixture.path("own")).expect("it is empty");
    open(&[]);
    assert_eq!(made(), 0, "nobody can want it any more");
}

#[test]
fn files_have_their_sizes() {
    let fixture = Fixture::new().path_source("elsewhere", CONTENT);
    fixture.write("own/one.gguf", b"1234567");
    fixture.write("own/README.md", b"12");
    fixture.write("causal/config.json", br#"{"architectures": ["LlamaForCausalLM"]}"#);
    fixture.write("causal/tokenizer.json", b"12");
    fixture.write("causal/model.safetensors", b"1234");
    fixture.write("encoder/config.json", b"{}");
    fixture.write("encoder/tokenizer.json", b"12");
    fixture.write("encoder/model.safetensors", b"12345");
    fixture.write("broken/README.md", b"12");
    let names = ["own", "causal", "encoder", "broken"];
    let catalog = Catalog::open(None, &names.map(|name| fixture.path(name))).expect("the directories are described");
    let store = ModelStore::open(catalog, fixture.path("own-cache"), Vec::new()).expect("the store opens");
    let sizes = |store: &ModelStore, id: &str| {
        let files = store.files(store.catalog().model(id).expect("it is known"));
        let sizes = files.into_iter().map(|file| (file.name, file.size_bytes));
        sizes.collect::<Vec<_>>()
    };
    let check = |id: &str, expected: &[(&str, u64)]| {
        let expected: Vec<_> = expected
            .iter()
            .map(|(name, size)| ((*name).to_owned(), *size))
            .collect();
        assert_eq!(sizes(&store, id), expected, "{id}");
    };
    check("own", &[("one.gguf", 7)]);
    check(
        "causal",
        &[("config.json", 39), ("model.safetensors", 4), ("tokenizer.json", 2)],
    );
    check(
        "encoder",
        &[("config.json", 2), ("tokenizer.json", 2), ("model.safetensors", 5)],
    );
    check("broken", &[]);
    // The catalog of this one names no size.
    let fetched = fixture.store();
    assert_eq!(sizes(&fetched, "tiny"), [("tiny.gguf".to_owned(), 0)]);
    pull(&fetched).expect("the source serves");
    assert_eq!(
        sizes(&fetched, "tiny"),
        [("tiny.gguf".to_owned(), CONTENT.len() as u64)]
    );
}
