//! `Retrieve` over gRPC on a real socket, query embedding included.

use std::sync::Arc;
use std::time::{Duration, Instant};

use groundwork::knowledge_base::Groundwork;
use groundwork::service::pb::{
    RetrievalConfiguration, RetrievalQuery, RetrieveRequest, SearchType, VectorSearchConfiguration,
};
use groundwork::service::{ServiceConfig, client, serve};

use crate::{handbook, quantile_ms, report};

const QUERIES: usize = 1_000;
const CLIENTS: usize = 4;

/// A server over the handbook on a port of its own, for as long as `work` runs.
pub(crate) fn with_server<T>(work: impl AsyncFnOnce(&str) -> T) -> T {
    let home = tempfile::tempdir().expect("a temporary directory");
    let groundwork = Groundwork::open(handbook::settings(home.path())).expect("it opens");
    groundwork.warm_up().expect("the models load");
    handbook::ingest(&groundwork, "handbook", handbook::documents(""));
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

pub(crate) fn run() {
    println!("\nretrieve: {QUERIES} golden questions over gRPC, five hits each");
    with_server(async |address| {
        for (name, search_type) in [
            ("hybrid", SearchType::Hybrid),
            ("semantic", SearchType::Semantic),
            ("keyword", SearchType::Keyword),
        ] {
            time_queries(address, search_type, 50).await;
            let (mut times, _) = time_queries(address, search_type, QUERIES).await;
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
        let begun = Instant::now();
        let clients = (0..CLIENTS).map(|_| {
            let address = address.to_owned();
            tokio::spawn(async move { time_queries(&address, SearchType::Hybrid, QUERIES).await })
        });
        let clients: Vec<_> = clients.collect();
        for client in clients {
            client.await.expect("the client ends well");
        }
        let rate = (CLIENTS * QUERIES) as f64 / begun.elapsed().as_secs_f64();
        report(&format!("retrieve hybrid, {CLIENTS} clients"), rate, "queries/s");
    });
}

async fn time_queries(address: &str, search_type: SearchType, count: usize) -> (Vec<Duration>, usize) {
    let mut client = client::retrieval(client::connect(address).await.expect("the server is there"));
    let questions = handbook::questions();
    let mut times = Vec::with_capacity(count);
    let mut hits = 0;
    for question in questions.iter().cycle().take(count) {
        let request = RetrieveRequest {
            knowledge_base_id: "handbook".to_owned(),
            retrieval_query: Some(RetrievalQuery {
                text: question.text.clone(),
            }),
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
        hits += response.into_inner().retrieval_results.len();
    }
    (times, hits)
}
