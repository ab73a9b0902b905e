//! `groundwork kb create` and `update`: what a knowledge base is told to be.

use std::time::Duration;

use clap::{Args, ValueEnum};

use super::show::show;
use crate::cli::exit::Exit;
use crate::cli::session::Session;
use crate::cli::{attribute, moment};
use crate::service::pb;

#[derive(Debug, Args)]
pub(in crate::cli) struct Create {
    /// Name: letters, digits, `-`, `_` and `.`
    name: String,
    /// Free text
    #[arg(long, default_value = "", hide_default_value = true)]
    description: String,
    /// Embedding model, as in `groundwork models list` [default: the server's]
    #[arg(long, value_name = "MODEL", default_value = "", hide_default_value = true)]
    embedding_model: String,
    /// Largest size of a chunk in tokens of the embedding model [default: 160]
    #[arg(long, value_name = "N")]
    chunk_tokens: Option<u32>,
    /// Tokens that a chunk repeats of the one before [default: 20]
    #[arg(long, value_name = "N")]
    overlap_tokens: Option<u32>,
    /// Make one chunk of each document
    #[arg(long, conflicts_with_all = ["chunk_tokens", "overlap_tokens"])]
    no_chunking: bool,
    /// Language of the keyword index: an ISO 639-1 code, `simple`, or `auto` to find it out [default: auto]
    #[arg(long, value_name = "CODE", default_value = "", hide_default_value = true)]
    language: String,
    /// Label of your own; may be repeated
    #[arg(long = "tag", value_name = "KEY=VALUE", value_parser = attribute::parse_label)]
    tags: Vec<(String, String)>,
    #[command(flatten)]
    keeping: KeepingFlags,
    #[command(flatten)]
    schema: SchemaFlags,
}

/// Declared attributes.
#[derive(Debug, Clone, Args)]
struct SchemaFlags {
    /// Attribute of documents with its type (string, number, boolean, date, `string_list`, `number_list`) and what it says; may be repeated
    #[arg(long = "attribute", value_name = "KEY:TYPE[:TEXT]", value_parser = parse_declared)]
    attributes: Vec<pb::MetadataAttribute>,
    /// Refuse documents with other attributes
    #[arg(long, requires = "attributes")]
    strict: bool,
}

impl SchemaFlags {
    fn schema(self) -> Option<pb::MetadataSchema> {
        (!self.attributes.is_empty()).then_some(pb::MetadataSchema {
            attributes: self.attributes,
            strict: self.strict,
        })
    }
}

/// Reads `key:type` or `key:type:description`.
fn parse_declared(text: &str) -> Result<pb::MetadataAttribute, String> {
    let mut parts = text.splitn(3, ':');
    let (key, kind) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let kind = pb::MetadataType::from_str_name(&format!("METADATA_TYPE_{}", kind.to_uppercase()));
    let kind = kind.filter(|kind| *kind != pb::MetadataType::Unspecified && !key.is_empty());
    let kind =
        kind.ok_or("expected key:type, where the type is string, number, boolean, date, string_list or number_list")?;
    Ok(pb::MetadataAttribute {
        key: key.to_owned(),
        r#type: kind.into(),
        description: parts.next().unwrap_or_default().trim().to_owned(),
    })
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Update {
    /// Id or name of the knowledge base
    #[arg(value_name = "KB")]
    knowledge_base: String,
    #[command(flatten)]
    changes: Changes,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
struct Changes {
    /// New name
    #[arg(long)]
    name: Option<String>,
    /// New free text
    #[arg(long)]
    description: Option<String>,
    /// Label of your own; may be repeated, and these replace all labels there are
    #[arg(long = "tag", value_name = "KEY=VALUE", value_parser = attribute::parse_label)]
    tags: Vec<(String, String)>,
    /// Remove all labels
    #[arg(long, conflicts_with = "tags")]
    no_tags: bool,
    /// Keep this many of the newest epochs
    #[arg(long, value_name = "N")]
    retain_epochs: Option<u64>,
    /// Keep epochs that were published within this time, such as 12h or 7d
    #[arg(long, value_name = "TIME", value_parser = moment::parse_span)]
    retain_age: Option<Duration>,
    /// Whether the bytes of documents are kept from now on
    #[arg(long, value_enum, value_name = "RULE")]
    original_content: Option<OriginalContent>,
    /// Attribute of documents with its type (string, number, boolean, date, `string_list`, `number_list`) and what it says; may be repeated, and these replace all that are declared
    #[arg(long = "attribute", value_name = "KEY:TYPE[:TEXT]", value_parser = parse_declared)]
    attributes: Vec<pb::MetadataAttribute>,
    /// Refuse documents with other attributes from now on
    #[arg(long, requires = "attributes")]
    strict: bool,
    /// Declare no attributes any more
    #[arg(long, conflicts_with = "attributes")]
    no_attributes: bool,
}

pub(super) const UPDATE_HELP: &str = "\
The retention is set as a whole: a limit that is not given keeps nothing any more. An epoch goes when neither limit \
keeps it; the published one and those with a name always stay.

Examples:
  groundwork kb update handbook --description \"How Groundwork works\"
  groundwork kb update handbook --retain-epochs 20 --retain-age 30d
  groundwork kb update handbook --original-content discard
  groundwork kb update handbook --attribute 'year:number:year of publication' --attribute topics:string_list";

/// What is kept beside what is published.
#[derive(Debug, Clone, Copy, Args)]
struct KeepingFlags {
    /// Keep this many of the newest epochs
    #[arg(long, value_name = "N")]
    retain_epochs: Option<u64>,
    /// Keep epochs that were published within this time, such as 12h [default: 7d, unless epochs are kept by number]
    #[arg(long, value_name = "TIME", value_parser = moment::parse_span)]
    retain_age: Option<Duration>,
    /// Whether the bytes of documents are kept [default: keep]
    #[arg(long, value_enum, value_name = "RULE")]
    original_content: Option<OriginalContent>,
}

/// Whether the bytes of documents are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum OriginalContent {
    /// Once for each content, compressed
    Keep,
    /// Not at all, only their text is
    Discard,
}

impl KeepingFlags {
    fn retention(self) -> Option<pb::RetentionConfiguration> {
        retention(self.retain_epochs, self.retain_age)
    }

    fn original_content(self) -> pb::OriginalContent {
        rule(self.original_content)
    }
}

fn retention(epochs: Option<u64>, age: Option<Duration>) -> Option<pb::RetentionConfiguration> {
    // What is too long for the message is too long for the server, which says so.
    let age = age.map(|age| prost_types::Duration {
        seconds: i64::try_from(age.as_secs()).unwrap_or(i64::MAX),
        nanos: 0,
    });
    (epochs.is_some() || age.is_some()).then_some(pb::RetentionConfiguration { epochs, age })
}

fn rule(wanted: Option<OriginalContent>) -> pb::OriginalContent {
    match wanted {
        None => pb::OriginalContent::Unspecified,
        Some(OriginalContent::Keep) => pb::OriginalContent::Keep,
        Some(OriginalContent::Discard) => pb::OriginalContent::Discard,
    }
}

pub(super) async fn create(arguments: Create, session: &mut Session) -> anyhow::Result<Exit> {
    let mut client = session.connection.knowledge_bases();
    let response = client.create_knowledge_base(request(arguments)).await?.into_inner();
    show(&response.knowledge_base.unwrap_or_default(), &mut session.output)?;
    Ok(Exit::Done)
}

fn request(arguments: Create) -> pb::CreateKnowledgeBaseRequest {
    let sized = arguments.chunk_tokens.is_some() || arguments.overlap_tokens.is_some();
    let sizes = pb::FixedSizeChunkingConfiguration {
        max_tokens: arguments.chunk_tokens,
        overlap_tokens: arguments.overlap_tokens,
    };
    let strategy = if arguments.no_chunking {
        pb::ChunkingStrategy::None
    } else {
        pb::ChunkingStrategy::FixedSize
    };
    pb::CreateKnowledgeBaseRequest {
        name: arguments.name,
        description: arguments.description,
        embedding_model_id: arguments.embedding_model,
        chunking_configuration: Some(pb::ChunkingConfiguration {
            chunking_strategy: strategy.into(),
            fixed_size_chunking_configuration: sized.then_some(sizes),
        }),
        language: arguments.language,
        tags: arguments.tags.into_iter().collect(),
        client_token: String::new(),
        original_content: arguments.keeping.original_content().into(),
        retention_configuration: arguments.keeping.retention(),
        metadata_schema: arguments.schema.schema(),
    }
}

pub(super) async fn update(arguments: Update, session: &mut Session) -> anyhow::Result<Exit> {
    let Changes {
        name,
        description,
        tags,
        no_tags,
        retain_epochs,
        retain_age,
        original_content,
        attributes,
        strict,
        no_attributes,
    } = arguments.changes;
    let request = pb::UpdateKnowledgeBaseRequest {
        knowledge_base_id: arguments.knowledge_base,
        name,
        description,
        replace_tags: no_tags || !tags.is_empty(),
        tags: tags.into_iter().collect(),
        retention_configuration: retention(retain_epochs, retain_age),
        original_content: rule(original_content).into(),
        metadata_schema: no_attributes
            .then(Default::default)
            .or_else(|| SchemaFlags { attributes, strict }.schema()),
    };
    let mut client = session.connection.knowledge_bases();
    let response = client.update_knowledge_base(request).await?.into_inner();
    show(&response.knowledge_base.unwrap_or_default(), &mut session.output)?;
    Ok(Exit::Done)
}
