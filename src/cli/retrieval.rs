//! What `search`, `ask` and `eval retrieval` share: how to retrieve, and how a place in a document is named.

use clap::{Args, ValueEnum};

use super::moment::ReadFlags;
use super::scoring::ScoringFlags;
use super::text::one_line;
use super::{attribute, derived};
use crate::service::pb;

/// How to retrieve.
#[derive(Debug, Args)]
pub(super) struct RetrievalFlags {
    /// Hits wanted [default: 5]
    #[arg(long, short = 'n', value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000))]
    limit: Option<u32>,
    #[command(flatten)]
    search: SearchFlags,
    #[command(flatten)]
    scoring: ScoringFlags,
    #[command(flatten)]
    pub(super) read: ReadFlags,
    #[command(flatten)]
    pub(super) caller: CallerFlags,
}

/// Who asks, where documents have access lists.
#[derive(Debug, Clone, Args)]
pub(super) struct CallerFlags {
    /// Ask as this user [default: nobody in particular]
    #[arg(long = "user", value_name = "USER")]
    user: Option<String>,
    /// Ask as a member of this group; may be repeated
    #[arg(long = "group", value_name = "GROUP")]
    groups: Vec<String>,
}

impl CallerFlags {
    /// Returns who asks, if somebody is named.
    pub(super) fn user_context(self) -> Option<pb::UserContext> {
        let is_named = self.user.is_some() || !self.groups.is_empty();
        is_named.then(|| pb::UserContext {
            user_id: self.user.unwrap_or_default(),
            groups: self.groups,
        })
    }
}

/// How to search, whatever number of hits is wanted.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(super) struct SearchFlags {
    /// Which legs answer [default: hybrid]
    #[arg(long = "type", value_name = "TYPE")]
    search_type: Option<SearchType>,
    /// Only documents with this attribute: key=text, key:=json, key!=text, key>=number, or JSON; may be repeated, then all must hold
    #[arg(long = "filter", short = 'f', value_name = "CONDITION", value_parser = attribute::parse_condition)]
    filters: Vec<pb::RetrievalFilter>,
    /// Leave out hits below this score
    #[arg(long, value_name = "SCORE", allow_negative_numbers = true)]
    threshold: Option<f64>,
    /// Weight of the dense leg in a hybrid score, 0 to 1
    #[arg(long, value_name = "WEIGHT")]
    dense_weight: Option<f64>,
    /// Weight of the first hit beside the query in the dense leg of a hybrid search, 0 to 1
    #[arg(long, value_name = "WEIGHT")]
    feedback_weight: Option<f64>,
    /// Look at the best N candidates once more, token by token, and order them by that [default N: 10, or the hits wanted]
    #[arg(long, value_name = "N", num_args = 0..=1, require_equals = true)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=100))]
    #[expect(clippy::option_option, reason = "absent, alone, and with a number are three things")]
    rerank: Option<Option<u32>>,
    /// Weight of the second look beside the fused score, 0 to 1 [default: 0.8]
    #[arg(long, value_name = "WEIGHT", requires = "rerank")]
    rerank_weight: Option<f64>,
    /// Compare all vectors that may be found, whatever it takes
    #[arg(long)]
    exact: bool,
    /// Let the language model derive a filter from the question, by the attributes that the knowledge base declares
    #[arg(long)]
    derive_filter: bool,
    /// Derive a filter by this attribute: key:type or key:type:description, such as year:number; may be repeated
    #[arg(long, value_name = "ATTRIBUTE", value_parser = derived::parse_attribute)]
    derive_filter_attribute: Vec<pb::ImplicitFilterAttribute>,
    /// Take a question that asks for several things apart, and search for the parts too
    #[arg(long)]
    decompose: bool,
    /// Search too for the words of a chatty question that say what is asked for, without greetings and thanks
    #[arg(long, conflicts_with = "decompose")]
    rewrite: bool,
    /// Language model that derives the filter [default: the server's]
    #[arg(long, value_name = "MODEL")]
    derive_filter_model: Option<String>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum SearchType {
    /// Vectors and keywords, fused
    Hybrid,
    /// Vectors only
    Semantic,
    /// Keywords only
    Keyword,
}

impl RetrievalFlags {
    /// Returns the configuration of the request.
    pub(super) fn configuration(self) -> pb::RetrievalConfiguration {
        let mut search = self.search.configuration(self.limit.unwrap_or_default());
        self.scoring.add_to(&mut search);
        pb::RetrievalConfiguration {
            vector_search_configuration: Some(search),
        }
    }
}

impl SearchFlags {
    /// Returns the configuration of a search for `limit` hits; 0 leaves their number to the server.
    pub(super) fn configuration(self, limit: u32) -> pb::VectorSearchConfiguration {
        let search_type = self.search_type.map_or(pb::SearchType::Unspecified, |it| match it {
            SearchType::Hybrid => pb::SearchType::Hybrid,
            SearchType::Semantic => pb::SearchType::Semantic,
            SearchType::Keyword => pb::SearchType::Keyword,
        });
        let rerank = self.rerank.map(|count| pb::RerankingConfiguration {
            r#type: pb::RerankingType::LateInteraction.into(),
            number_of_reranked_results: count.unwrap_or_default(),
            weight: self.rerank_weight,
        });
        let derives =
            self.derive_filter || !self.derive_filter_attribute.is_empty() || self.derive_filter_model.is_some();
        let implicit_filter = derives.then(|| pb::ImplicitFilterConfiguration {
            model_id: self.derive_filter_model.unwrap_or_default(),
            metadata_attributes: self.derive_filter_attribute,
        });
        let transformation = match (self.decompose, self.rewrite) {
            (true, _) => Some(pb::QueryTransformationType::QueryDecomposition),
            (_, true) => Some(pb::QueryTransformationType::QueryRewriting),
            _ => None,
        };
        pb::VectorSearchConfiguration {
            implicit_filter_configuration: implicit_filter,
            query_transformation_configuration: transformation.map(|kind| pb::QueryTransformationConfiguration {
                r#type: kind.into(),
                model_id: String::new(),
            }),
            number_of_results: limit,
            override_search_type: search_type.into(),
            filter: attribute::all(self.filters),
            score_threshold: self.threshold,
            dense_weight: self.dense_weight,
            feedback_weight: self.feedback_weight,
            exact: self.exact,
            reranking_configuration: rerank,
            ..pb::VectorSearchConfiguration::default()
        }
    }
}

/// Returns the title of a hit's document with the headings above the hit.
pub(super) fn heading(result: &pb::RetrievalResult) -> String {
    let Some(location) = &result.location else {
        return one_line(&result.document_id);
    };
    let title = if location.title.is_empty() {
        &result.document_id
    } else {
        &location.title
    };
    let mut parts = vec![one_line(title)];
    // The outermost heading of a document is often its title.
    for part in location.heading_path.iter().map(|part| one_line(part)) {
        if parts.last() != Some(&part) {
            parts.push(part);
        }
    }
    parts.join(" › ")
}

/// Returns document, page and byte range.
pub(super) fn place(result: &pb::RetrievalResult, span: Option<&pb::Span>) -> String {
    let page = result
        .location
        .as_ref()
        .map(|location| location.page)
        .filter(|page| *page > 0);
    let parts = [
        Some(one_line(&result.document_id)),
        page.map(|page| format!("page {page}")),
        span.map(|span| format!("bytes {}–{}", span.start, span.end)),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}
