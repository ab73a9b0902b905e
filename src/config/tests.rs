//! Configuration as data: what the layers say, what comes out.

use std::ffi::OsString;
use std::path::Path;

use super::{Config, Error, Key, Layers, Origin};

const FILE: &str = "/etc/groundwork/config.toml";

fn layers(file: &str, variables: &[(&str, &str)], flags: &[(Key, &str)]) -> Result<Layers, Error> {
    let mut layers = Layers::default();
    // Machines without a home directory run these tests too.
    layers.add_variables([
        pair("GROUNDWORK_DATA_DIR", "/data"),
        pair("GROUNDWORK_MODELS", "/models"),
    ]);
    layers.add_toml(file, Path::new(FILE))?;
    layers.add_variables(variables.iter().map(|(name, value)| pair(name, value)));
    for (key, value) in flags {
        layers.add_flag(*key, value);
    }
    Ok(layers)
}

fn pair(name: &str, value: &str) -> (OsString, OsString) {
    (name.into(), value.into())
}

fn resolve(file: &str, variables: &[(&str, &str)], flags: &[(Key, &str)]) -> Result<Config, Error> {
    Config::resolve(&layers(file, variables, flags)?)
}

#[track_caller]
fn check(file: &str, variables: &[(&str, &str)], flags: &[(Key, &str)], key: Key, value: &str, origin: &str) {
    let config = resolve(file, variables, flags).expect("the configuration is valid");
    let resolved = config.resolved().find(|resolved| resolved.key == key);
    let resolved = resolved.expect("every setting is resolved");
    assert_eq!(resolved.value.to_string(), value, "value of {}", key.name());
    assert_eq!(resolved.origin.to_string(), origin, "origin of {}", key.name());
    assert_eq!(config.origin(key), &resolved.origin);
}

#[track_caller]
fn check_refused(file: &str, variables: &[(&str, &str)], flags: &[(Key, &str)], expected: &str) {
    let error = resolve(file, variables, flags).expect_err("the configuration is refused");
    let message = error.to_string();
    assert!(message.starts_with(expected), "{message:?} begins with {expected:?}");
}

#[test]
fn later_layers_win_over_earlier() {
    let file = "compute_threads = 2";
    let variable = [("GROUNDWORK_COMPUTE_THREADS", "3")];
    let flag = [(Key::ComputeThreads, "4")];
    check("", &[], &[], Key::ComputeThreads, "0", "default");
    check(file, &[], &[], Key::ComputeThreads, "2", FILE);
    check(
        file,
        &variable,
        &[],
        Key::ComputeThreads,
        "3",
        "GROUNDWORK_COMPUTE_THREADS",
    );
    check(file, &variable, &flag, Key::ComputeThreads, "4", "--set");
    check(
        file,
        &[("GROUNDWORK_COMPUTE_THREADS", "")],
        &[],
        Key::ComputeThreads,
        "2",
        FILE,
    );
}

#[test]
fn every_type_reads_from_every_layer() {
    check(
        "model_sources = ['wheels', '/opt/m']",
        &[],
        &[],
        Key::ModelSources,
        r#"["/etc/groundwork/wheels","/opt/m"]"#,
        FILE,
    );
    check(
        "",
        &[("GROUNDWORK_MODEL_SOURCES", "a:b")],
        &[],
        Key::ModelSources,
        r#"["a","b"]"#,
        "GROUNDWORK_MODEL_SOURCES",
    );
    check(
        "data_dir = 'kb'",
        &[],
        &[],
        Key::DataDir,
        r#""/etc/groundwork/kb""#,
        FILE,
    );
    check("", &[], &[(Key::DataDir, "kb")], Key::DataDir, r#""kb""#, "--data-dir");
    check("offline = true", &[], &[], Key::Offline, "true", FILE);
    check(
        "",
        &[("GROUNDWORK_OFFLINE", "1")],
        &[],
        Key::Offline,
        "true",
        "GROUNDWORK_OFFLINE",
    );
    check(
        "max_document_bytes = 1_000",
        &[],
        &[],
        Key::MaxDocumentBytes,
        "1000",
        FILE,
    );
    check(
        "",
        &[],
        &[(Key::Server, "kb.local:50051")],
        Key::Server,
        r#""http://kb.local:50051""#,
        "--server",
    );
    check(
        "",
        &[],
        &[(Key::Server, "http://[::1]:50051")],
        Key::Server,
        r#""http://[::1]:50051""#,
        "--server",
    );
    check("log_format = 'json'", &[], &[], Key::LogFormat, r#""json""#, FILE);
}

#[test]
fn unknown_keys_are_refused_by_name() {
    let message = format!("`data-dir` in {FILE} is not a setting (did you mean `data_dir`?)");
    check_refused("data-dir = 'x'", &[], &[], &message);
    check_refused(
        "colour = 'x'",
        &[],
        &[],
        &format!("`colour` in {FILE} is not a setting; the settings are data_dir,"),
    );
    let error = Layers::default()
        .add_named("offlin", "1")
        .expect_err("there is no such setting");
    assert!(
        error
            .to_string()
            .starts_with("`offlin` in --set is not a setting (did you mean `offline`?)")
    );
}

#[test]
fn values_that_do_not_fit_are_refused() {
    check_refused(
        "offline = 'yes'",
        &[],
        &[],
        &format!("offline from {FILE}: expected true or false, found `\"yes\"`"),
    );
    check_refused(
        "max_document_bytes = 0",
        &[],
        &[],
        &format!("max_document_bytes from {FILE}: expected a number from 1 to"),
    );
    check_refused(
        "",
        &[("GROUNDWORK_COMPUTE_THREADS", "many")],
        &[],
        "compute_threads from GROUNDWORK_COMPUTE_THREADS: expected a number from 0 to 1024, found `many`",
    );
    check_refused(
        "",
        &[],
        &[(Key::Listen, "50051")],
        "listen from --listen: expected an address as host:port",
    );
    check_refused(
        "",
        &[],
        &[(Key::Listen, "localhost:99999")],
        "listen from --listen: expected an address",
    );
    check_refused(
        "",
        &[],
        &[(Key::Server, "https://kb:1")],
        "server from --server: expected an address",
    );
    check_refused(
        "= 3",
        &[],
        &[],
        &format!("the configuration file {FILE} is not valid TOML"),
    );
}

#[test]
fn stray_variables_are_noticed_but_pass() {
    let variables = [
        ("GROUNDWORK_DATADIR", "x"),
        ("GROUNDWORK_TEST_ANY", "x"),
        ("GROUNDWORK_CONFIG", "x"),
        ("HOME", "x"),
    ];
    let layers = layers("", &variables, &[]).expect("stray variables are no error");
    assert_eq!(layers.unknown_variables(), ["GROUNDWORK_DATADIR"]);
}

#[test]
fn named_file_must_be_there() {
    let missing = Layers::read(Some(Path::new("/no/such/file.toml")), []).expect_err("the file is not there");
    assert_eq!(
        missing.to_string(),
        "cannot read the configuration file /no/such/file.toml"
    );
    let variables = [pair("GROUNDWORK_CONFIG", "/no/such/other.toml")];
    let missing = Layers::read(None, variables).expect_err("the file is not there");
    assert_eq!(
        missing.to_string(),
        "cannot read the configuration file /no/such/other.toml"
    );
}

#[test]
fn names_follow_one_rule() {
    for key in Key::ALL {
        assert_eq!(Key::named(key.name()), Some(key));
        let variable = format!("GROUNDWORK_{}", key.name().to_uppercase());
        // One exception, the shorter for being typed often.
        let expected = if key == Key::ModelsDir {
            "GROUNDWORK_MODELS"
        } else {
            variable.as_str()
        };
        assert_eq!(key.variable(), expected);
    }
    assert_eq!(Origin::Default.to_string(), "default");
}
