//! `groundwork eval retrieval`: a collection into a knowledge base, its queries to a server, the rankings to measures.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::Args;
use serde_json::json;

use super::base::prepare;
use super::question::{Asked, Asking, ask};
use super::{MeasureFlags, report};
use crate::cli::archive_file::NewFile;
use crate::cli::exit::{Exit, Usage};
use crate::cli::moment::ReadFlags;
use crate::cli::output::note;
use crate::cli::retrieval::SearchFlags;
use crate::cli::session::Session;
use crate::cli::signal::Interrupt;
use crate::cli::text::one_line;
use crate::evaluate::{Collection, CorpusSummary, Evaluation, Judgments, Measure, TestQuery, check_word};
use crate::knowledge_base::MAX_NAME_BYTES;
use crate::service::pb;

#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(in crate::cli) struct Arguments {
    /// Directory with queries.jsonl, qrels.tsv and, to fill a knowledge base from, corpus.jsonl
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// Id or name of the knowledge base; made and filled if it is not there [default: the directory's name]
    #[arg(long, value_name = "KB")]
    knowledge_base: Option<String>,
    /// Ingest the corpus also when the knowledge base is there; unchanged documents are skipped
    #[arg(long)]
    ingest: bool,
    /// Other file of queries, in DIR or elsewhere
    #[arg(long, value_name = "FILE")]
    queries: Option<PathBuf>,
    /// Other file of judgments, in DIR or elsewhere
    #[arg(long, value_name = "FILE")]
    qrels: Option<PathBuf>,
    /// Documents wanted for each query
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    depth: u32,
    #[command(flatten)]
    search: SearchFlags,
    #[command(flatten)]
    read: ReadFlags,
    #[command(flatten)]
    measures: MeasureFlags,
    /// Show every query, then the means
    #[arg(long)]
    per_query: bool,
    /// Write the rankings as a TREC run file
    #[arg(long, value_name = "FILE")]
    write_run: Option<PathBuf>,
    /// Replace a run file that is there already
    #[arg(long, requires = "write_run")]
    force: bool,
}

const AFTER_HELP: &str = "\
The corpus is ingested with the defaults of `kb create`; for other settings create the knowledge base first and give \
--ingest. A knowledge base that is there is asked as it is: queries and judgments of your own measure your own documents, \
by the ids that they were ingested with. A document counts by its best chunk. Values are those of trec_eval -c: equal scores are ordered by document id, \
and every judged query counts in the means. `groundwork eval compare` compares two runs.

Examples:
  groundwork eval retrieval beir/scifact
  groundwork eval retrieval beir/scifact --type keyword --write-run keyword.run
  groundwork eval retrieval beir/scifact --queries queries.train.jsonl --qrels qrels.train.tsv --dense-weight 0.5
  groundwork kb create xquad-de --language de && groundwork eval retrieval xquad/de --knowledge-base xquad-de --ingest
  groundwork eval retrieval my-questions --knowledge-base handbook --per-query
  groundwork --json eval retrieval beir/scifact | jq .summary.measures.ndcg_at_10

With --json the last line is {\"summary\": ...}; with --per-query a line {\"query\": ...} for each query comes before.";

/// What the files of the collection say.
struct Test {
    /// Nothing where the knowledge base was filled from elsewhere.
    corpus: Option<CorpusSummary>,
    judgments: Judgments,
    queries: Vec<TestQuery>,
}

/// Measures retrieval on a collection.
pub(in crate::cli) async fn run(arguments: Arguments, session: &mut Session) -> anyhow::Result<Exit> {
    check_depth(arguments.depth, arguments.measures.measures())?;
    let name = knowledge_base_name(&arguments)?;
    let run_file = arguments.write_run.as_deref();
    let run_file = run_file
        .map(|path| NewFile::create(path, arguments.force))
        .transpose()?;
    let collection = Collection::at(
        &arguments.directory,
        arguments.queries.as_deref(),
        arguments.qrels.as_deref(),
    );
    let interrupt = session.interrupt.clone();
    let Some(test) = unless(&interrupt, read(collection.clone(), run_file.is_some())).await else {
        return Ok(Exit::Interrupted);
    };
    let test = test?;
    let prepared = prepare(&name, collection, test.corpus.as_ref(), arguments.ingest, session);
    let Some(prepared) = unless(&interrupt, prepared).await else {
        note("interrupted: what is in the knowledge base stays there; --ingest goes on from there");
        return Ok(Exit::Interrupted);
    };
    let (base, filled) = prepared?;
    let asking = Asking {
        knowledge_base_id: base.knowledge_base_id.clone(),
        search: arguments.search.configuration(0),
        read: arguments.read,
        depth: arguments.depth,
    };
    let begun = Instant::now();
    let Some(asked) = unless(&interrupt, ask(asking.clone(), test.queries, session)).await else {
        return Ok(Exit::Interrupted);
    };
    let asked = asked?;
    let elapsed = begun.elapsed();
    if let Some(mut file) = run_file {
        let tag = format!("groundwork-{}", type_name(&asking.search).to_lowercase());
        asked.run.write(&tag, &mut file).context("cannot write the run file")?;
        file.finish()?;
    }
    let evaluation = Evaluation::of(&asked.run, &test.judgments, arguments.measures.measures());
    warn(&asked, test.corpus.as_ref());
    let measured = Measured {
        base,
        asking,
        asked,
        evaluation,
        elapsed,
    };
    measured.tell(arguments.per_query, session)?;
    Ok(if filled.failed > 0 { Exit::Partial } else { Exit::Done })
}

/// Does `work` unless the user wishes to end meanwhile.
async fn unless<T>(interrupt: &Interrupt, work: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        done = work => Some(done),
        () = interrupt.wished() => None,
    }
}

/// Refuses measures that look deeper than the rankings go: they would be too low without a word.
fn check_depth(depth: u32, measures: &[Measure]) -> Result<(), Usage> {
    let too_deep = |measure: &&Measure| measure.cutoff().is_some_and(|cutoff| cutoff > depth as usize);
    match measures.iter().find(too_deep) {
        Some(measure) => Err(Usage(format!(
            "{measure} looks deeper than --depth {depth}: ask for more documents, or name other measures with --measure"
        ))),
        None => Ok(()),
    }
}

fn knowledge_base_name(arguments: &Arguments) -> Result<String, Usage> {
    if let Some(name) = &arguments.knowledge_base {
        return Ok(name.clone());
    }
    name_of(&arguments.directory).ok_or_else(|| {
        let directory = arguments.directory.display();
        Usage(format!(
            "no name for a knowledge base can be made of {directory}: give --knowledge-base"
        ))
    })
}

/// Returns the last part of a directory's path as the name of a knowledge base.
pub(super) fn name_of(directory: &Path) -> Option<String> {
    // Such as `.`, which has a name only when it is followed.
    let directory = directory.canonicalize().unwrap_or_else(|_| directory.to_owned());
    let last = directory.file_name()?.to_string_lossy().into_owned();
    let is_kept = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let kept: String = last.chars().map(|c| if is_kept(c) { c } else { '-' }).collect();
    let name = kept.trim_start_matches(|c: char| !c.is_ascii_alphanumeric());
    (!name.is_empty()).then(|| name.chars().take(MAX_NAME_BYTES).collect())
}

/// Reads and checks the collection's files, before anything is made of them.
async fn read(collection: Collection, for_run_file: bool) -> anyhow::Result<Test> {
    let reading = tokio::task::spawn_blocking(move || -> anyhow::Result<Test> {
        let (judgments, queries) = collection.judged_queries()?;
        let has_corpus = collection.has_corpus();
        let corpus = has_corpus.then(|| collection.check_corpus()).transpose()?;
        if for_run_file {
            let document_ids = corpus.iter().flat_map(|corpus| &corpus.ids);
            let ids = queries.iter().map(|query| &query.id).chain(document_ids);
            ids.into_iter().try_for_each(|id| check_word(id))?;
        }
        Ok(Test {
            corpus,
            judgments,
            queries,
        })
    });
    reading.await?
}

/// Says what makes the measures mean something else than they seem to.
fn warn(asked: &Asked, corpus: Option<&CorpusSummary>) {
    if let Some((first, last)) = asked.epochs.filter(|(first, last)| first != last) {
        note(format!(
            "warning: the knowledge base changed meanwhile, from epoch {first} to {last}"
        ));
    }
    if asked.short_count > 0 {
        note(format!(
            "warning: the most hits that can be asked for lie in fewer documents than --depth wants, for {} queries",
            asked.short_count
        ));
    }
    let rankings = asked.run.rankings().flat_map(|(_, ranking)| ranking.documents());
    let is_foreign = |id: &String| corpus.is_some_and(|corpus| !corpus.ids.contains(id));
    let foreign = rankings.filter(|document| is_foreign(&document.document_id)).count();
    if foreign > 0 {
        note(format!(
            "warning: {foreign} times a document was found that the collection does not hold"
        ));
    }
}

/// Which legs answered, as the wire names them without their prefix.
fn type_name(search: &pb::VectorSearchConfiguration) -> &'static str {
    let search_type = match search.override_search_type() {
        pb::SearchType::Unspecified => pb::SearchType::Hybrid,
        named => named,
    };
    search_type.as_str_name().trim_start_matches("SEARCH_TYPE_")
}

struct Measured {
    base: pb::KnowledgeBase,
    asking: Asking,
    asked: Asked,
    evaluation: Evaluation,
    elapsed: Duration,
}

impl Measured {
    fn tell(&self, per_query: bool, session: &mut Session) -> anyhow::Result<()> {
        let output = &mut session.output;
        let evaluation = &self.evaluation;
        if per_query {
            report::write_queries(evaluation, output)?;
        }
        let (_, epoch) = self.asked.epochs.unwrap_or_default();
        let search_type = type_name(&self.asking.search);
        if output.is_json() {
            output.object(&json!({ "summary": {
                "knowledge_base_id": self.base.knowledge_base_id,
                "name": self.base.name,
                "document_count": self.base.document_count,
                "epoch": epoch,
                "search_type": format!("SEARCH_TYPE_{search_type}"),
                "depth": self.asking.depth,
                "query_count": evaluation.queries.len(),
                "empty_query_count": evaluation.empty_count(),
                "short_query_count": self.asked.short_count,
                "query_seconds": self.elapsed.as_secs_f64(),
                "measures": report::means(evaluation),
            }}))?;
        } else {
            report::write_means(evaluation, output)?;
        }
        note(format!(
            "{} judged queries on {} documents of {}, {}, epoch {epoch}, {:.1} s",
            evaluation.queries.len(),
            self.base.document_count,
            one_line(&self.base.name),
            search_type.to_lowercase(),
            self.elapsed.as_secs_f64()
        ));
        Ok(())
    }
}
