//! `Retrieve` over gRPC on a real socket, query embedding included.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use groundwork::knowledge_base::Groundwork;
use groundwork::service::pb::{
    RetrievalConfiguration, RetrievalQuery, RetrieveRequest, SearchType, VectorSearchConfiguration,
};
use groundwork::service::{ServiceConfig, client, serve};

use crate::{handbook, quantile_ms, report};

const QUERIES: usize = 1_000;
const CLIENTS: usize = 4;
/// Words of a passage that are asked for.
const WORDS: usize = 9;

/// A server over the handbook on a port of its own, for as long as `work` runs.
pub(crate) fn with_server<T>(work: impl AsyncFnOnce(&str) -> T) -> T {
    let home = tempfile::tempdir().expect("a temporary directory");
    let groundwork = Groundwork::open(handbook::settings(home.path())).expect("it opens");
    groundwork.warm_up().expect("the models load");
    handbook::ingest(&groundwork, "handbook", handbook::documents(""));
    served(groundwork, work)
}

fn served<T>(groundwork: Groundwork, work: impl AsyncFnOnce(&str) -> T) -> T {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = format!("http://{}", listener.local_addr().expect("an address"));
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let config = ServiceConfig::default();
        let serving = serve(&config, Arc::new(groundwork), listener, async {
            let _ = stopped.await;
        });
        let working = async {
            let result = work(&address).await;
            let _ = stop.send(());
            result
        };
        let (served, result) = tokio::join!(serving, working);
        served.expect("the server ends well");
        result
    })
}

/// The golden questions of the handbook, or, given the directory that `store` filled and its texts, the beginnings of those
/// that are queries.
pub(crate) fn run(arguments: &[String]) {
    let [directory, texts] = arguments else {
        let questions = handbook::questions().into_iter().map(|question| question.text);
        return with_server(async |address| time_all(address, "handbook", questions.collect()).await);
    };
    let texts = std::fs::read_to_string(texts).expect("the passages can be read");
    let beginning = |text: &str| text.split_whitespace().take(WORDS).collect::<Vec<_>>().join(" ");
    let questions = texts.lines().take(crate::store::QUERIES).map(beginning).collect();
    let groundwork = Groundwork::open(handbook::settings(directory.as_ref())).expect("it opens");
    groundwork.warm_up().expect("the models load");
    served(groundwork, async |address| time_all(address, "bench", questions).await);
}

async fn time_all(address: &str, knowledge_base: &str, questions: Vec<String>) {
    println!("\nretrieve: {QUERIES} questions over gRPC to {knowledge_base}, five hits each");
    let time = async |search_type, asked, count| {
        time_queries(address, knowledge_base, &questions, search_type, asked, count).await
    };
    for (name, search_type) in [
        ("hybrid", SearchType::Hybrid),
        ("semantic", SearchType::Semantic),
        ("keyword", SearchType::Keyword),
    ] {
        time(search_type, Asked::New, 50).await;
        let mut times = time(search_type, Asked::New, QUERIES).await;
        report(
            &format!("retrieve {name}, one client, p50"),
            quantile_ms(&mut times, 0.5),
            "ms",
        );
        report(
            &format!("retrieve {name}, one client, p99"),
            quantile_ms(&mut times, 0.99),
            "ms",
        );
    }
    time(SearchType::Hybrid, Asked::Known, QUERIES).await;
    let mut times = time(SearchType::Hybrid, Asked::Known, QUERIES).await;
    report(
        "retrieve hybrid, vectors of queries known, p50",
        quantile_ms(&mut times, 0.5),
        "ms",
    );
    let begun = Instant::now();
    let clients = (0..CLIENTS).map(|_| {
        let (address, knowledge_base) = (address.to_owned(), knowledge_base.to_owned());
        let questions = questions.clone();
        tokio::spawn(async move {
            let known = Asked::Known;
            time_queries(
                &address,
                &knowledge_base,
                &questions,
                SearchType::Hybrid,
                known,
                QUERIES,
            )
            .await
        })
    });
    let clients: Vec<_> = clients.collect();
    for client in clients {
        client.await.expect("the client ends well");
    }
    let rate = (CLIENTS * QUERIES) as f64 / begun.elapsed().as_secs_f64();
    report(
        &format!("retrieve hybrid, {CLIENTS} clients, vectors known"),
        rate,
        "queries/s",
    );
}

/// Whether questions were asked before, so that their vectors are known.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    New,
    Known,
}

/// Counts the questions that nobody asked before.
static NEW: AtomicUsize = AtomicUsize::new(0);

async fn time_queries(
    address: &str,
    knowledge_base: &str,
    questions: &[String],
    search_type: SearchType,
    asked: Asked,
    count: usize,
) -> Vec<Duration> {
    let mut client = client::retrieval(client::connect(address).await.expect("the server is there"));
    let mut times = Vec::with_capacity(count);
    for question in questions.iter().cycle().take(count) {
        let text = match asked {
            Asked::New => format!("{} {question}", NEW.fetch_add(1, Ordering::Relaxed)),
            Asked::Known => question.clone(),
        };
        let request = RetrieveRequest {
            knowledge_base_id: knowledge_base.to_owned(),
            retrieval_query: Some(RetrievalQuery { text }),
            retrieval_configuration: Some(RetrievalConfiguration {
                vector_search_configuration: Some(VectorSearchConfiguration {
                    override_search_type: search_type.into(),
                    ..VectorSearchConfiguration::default()
                }),
            }),
            ..RetrieveRequest::default()
        };
        let begun = Instant::now();
        let response = client.retrieve(request).await.expect("the search works");
        times.push(begun.elapsed());
        assert!(!response.into_inner().retrieval_results.is_empty(), "there are hits");
    }
    times
}
