//! What each condition of a filter says of a document.

use super::Filter;
use crate::document::metadata::Metadata;

/// A condition of a filter, and what it says of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilterOutcome {
    /// Where it stands, from the filter's own name on: `filter.and_all.filters[1]`.
    pub path: String,
    /// Whether the document passes it.
    pub accepted: bool,
}

/// Returns what every single condition of a filter says of a document of these attributes, in order.
pub fn outcomes(filter: &Filter, metadata: &Metadata) -> Vec<FilterOutcome> {
    let mut found = Vec::new();
    visit("filter".to_owned(), filter, metadata, &mut found);
    found
}

fn visit(path: String, filter: &Filter, metadata: &Metadata, found: &mut Vec<FilterOutcome>) {
    let (name, filters) = match filter {
        Filter::AndAll(filters) => ("and_all", filters),
        Filter::OrAll(filters) => ("or_all", filters),
        condition => {
            let accepted = condition.accepts(metadata);
            found.push(FilterOutcome { path, accepted });
            return;
        }
    };
    for (at, filter) in filters.iter().enumerate() {
        visit(format!("{path}.{name}.filters[{at}]"), filter, metadata, found);
    }
}

/// Returns the least conditions that stand against a document: leaving them out lets it through. None when it passes.
pub fn obstacles(filter: &Filter, metadata: &Metadata) -> Vec<String> {
    fn visit(path: String, filter: &Filter, metadata: &Metadata, found: &mut Vec<String>) {
        if filter.accepts(metadata) {
            return;
        }
        match filter {
            Filter::AndAll(filters) => {
                for (at, filter) in filters.iter().enumerate() {
                    visit(format!("{path}.and_all.filters[{at}]"), filter, metadata, found);
                }
            }
            _ => found.push(path),
        }
    }
    let mut found = Vec::new();
    visit("filter".to_owned(), filter, metadata, &mut found);
    found
}

/// A condition to leave out of a filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// Where it stands, from the filter's own name on.
    pub path: String,
    /// Whether a single condition is left of its `and_all`, which then stands in place of that.
    pub leaves_one: bool,
}

/// Returns what to leave out so that a document of these attributes passes, and a filter that can be asked with is left
/// or none. `is_joined` says that the outermost `and_all` is not the caller's: its members are left out each by itself.
pub fn left_out(filter: &Filter, metadata: &Metadata, is_joined: bool) -> Vec<LeftOut> {
    let mut found = Vec::new();
    match filter {
        Filter::AndAll(filters) if is_joined => {
            for (at, filter) in filters.iter().enumerate() {
                leave_out(
                    format!("filter.and_all.filters[{at}]"),
                    filter,
                    metadata,
                    false,
                    &mut found,
                );
            }
        }
        _ => leave_out("filter".to_owned(), filter, metadata, false, &mut found),
    }
    found
}

fn leave_out(path: String, filter: &Filter, metadata: &Metadata, leaves_one: bool, found: &mut Vec<LeftOut>) {
    if filter.accepts(metadata) {
        return;
    }
    match filter {
        Filter::AndAll(filters) if without_obstacles(filter, metadata).is_some() => {
            let stays = |filter: &&Filter| without_obstacles(filter, metadata).is_some();
            let leaves_one = filters.len() > 1 && filters.iter().filter(stays).count() == 1;
            for (at, filter) in filters.iter().enumerate() {
                let path = format!("{path}.and_all.filters[{at}]");
                leave_out(path, filter, metadata, leaves_one, found);
            }
        }
        _ => found.push(LeftOut { path, leaves_one }),
    }
}

/// Returns the filter without what stands against a document; nothing when no condition is left.
pub fn without_obstacles(filter: &Filter, metadata: &Metadata) -> Option<Filter> {
    match filter {
        filter if filter.accepts(metadata) => Some(filter.clone()),
        Filter::AndAll(filters) => {
            let mut left: Vec<Filter> = filters
                .iter()
                .filter_map(|filter| without_obstacles(filter, metadata))
                .collect();
            match left.len() {
                0 | 1 => left.pop(),
                _ => Some(Filter::AndAll(left)),
            }
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::metadata::MetadataValue;

    #[test]
    fn conditions_are_named_by_their_path() {
        let metadata = Metadata::from([("year".to_owned(), MetadataValue::Number(2020.0))]);
        let year = |year: f64| Filter::Equals("year".to_owned(), MetadataValue::Number(year));
        let filter = Filter::AndAll(vec![year(2020.0), Filter::OrAll(vec![year(1.0), year(2.0)]), year(3.0)]);
        let found: Vec<_> = outcomes(&filter, &metadata)
            .into_iter()
            .map(|outcome| (outcome.path, outcome.accepted))
            .collect();
        let expected = [
            ("filter.and_all.filters[0]", true),
            ("filter.and_all.filters[1].or_all.filters[0]", false),
            ("filter.and_all.filters[1].or_all.filters[1]", false),
            ("filter.and_all.filters[2]", false),
        ];
        assert_eq!(found, expected.map(|(path, accepted)| (path.to_owned(), accepted)));
        let against = ["filter.and_all.filters[1]", "filter.and_all.filters[2]"];
        assert_eq!(obstacles(&filter, &metadata), against);
        assert_eq!(obstacles(&year(2020.0), &metadata), [""; 0]);
        assert_eq!(obstacles(&year(1.0), &metadata), ["filter"]);
        assert_eq!(without_obstacles(&filter, &metadata), Some(year(2020.0)));
        assert_eq!(without_obstacles(&year(1.0), &metadata), None);
    }

    #[test]
    fn what_is_left_can_be_asked() {
        let metadata = Metadata::from([("year".to_owned(), MetadataValue::Number(2020.0))]);
        let year = |year: f64| Filter::Equals("year".to_owned(), MetadataValue::Number(year));
        let (yes, no) = (|| year(2020.0), || year(1.0));
        let all = Filter::AndAll;
        let check = |filter: &Filter, is_joined: bool, expected: &[(&str, bool)]| {
            let found = left_out(filter, &metadata, is_joined);
            let found: Vec<_> = found.iter().map(|it| (it.path.as_str(), it.leaves_one)).collect();
            assert_eq!(found, expected, "{filter:?}");
        };
        let (first, second) = ("filter.and_all.filters[0]", "filter.and_all.filters[1]");
        check(&yes(), false, &[]);
        check(&no(), false, &[("filter", false)]);
        check(&all(vec![no(), yes()]), false, &[(first, true)]);
        check(&all(vec![no(), yes()]), true, &[(first, false)]);
        check(&all(vec![no(), no()]), false, &[("filter", false)]);
        check(&all(vec![no(), no()]), true, &[(first, false), (second, false)]);
        check(&all(vec![yes(), no(), yes()]), false, &[(second, false)]);
        check(&all(vec![no(), no(), yes()]), false, &[(first, true), (second, true)]);
        check(&all(vec![all(vec![no(), no()]), yes()]), false, &[(first, true)]);
        let inner = "filter.and_all.filters[0].and_all.filters[1]";
        check(&all(vec![all(vec![yes(), no()]), yes()]), false, &[(inner, true)]);
    }
}
