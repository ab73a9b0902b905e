//! Who may find a document.

/// Most entries of an access list.
pub const MAX_ACCESS_ENTRIES: usize = 1_000;
/// Longest name of a user or group in bytes.
pub const MAX_NAME_BYTES: usize = 256;
/// Most groups of a caller.
pub const MAX_CALLER_GROUPS: usize = 1_000;

/// Who may find a document. An empty list opens it to all.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct AccessList {
    /// Users who may.
    pub allow_users: Vec<String>,
    /// Groups whose members may.
    pub allow_groups: Vec<String>,
    /// Users who may not, whatever is allowed.
    pub deny_users: Vec<String>,
    /// Groups whose members may not, whatever is allowed.
    pub deny_groups: Vec<String>,
}

/// Who asks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct UserContext {
    /// The user; empty when only groups are known.
    pub user_id: String,
    /// Groups that the user is in.
    pub groups: Vec<String>,
}

/// Why an access list or a caller is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAccess {
    /// There are too many names.
    #[error("at most {limit} names are taken, there are {count}")]
    TooMany {
        /// How many are taken.
        limit: usize,
        /// How many there are.
        count: usize,
    },
    /// A name is empty or too long.
    #[error("a name of a user or group has 1 to {MAX_NAME_BYTES} bytes, one has {bytes}")]
    Name {
        /// Its length in bytes.
        bytes: usize,
    },
    /// The caller is neither a user nor in a group.
    #[error("names neither a user nor a group; leave it out for a caller who is not known")]
    Nobody,
}

impl AccessList {
    /// Returns whether the document is open to all.
    pub fn is_open(&self) -> bool {
        self.parts().into_iter().all(Vec::is_empty)
    }

    /// Returns whether this caller may find the document. A denial is stronger than what is allowed; a list that allows
    /// nobody by name allows every known caller whom it does not deny.
    pub fn admits(&self, caller: Option<&UserContext>) -> bool {
        if self.is_open() {
            return true;
        }
        let Some(caller) = caller else {
            return false;
        };
        let names = |users: &[String], groups: &[String]| {
            // An empty name stands for nobody, and no list holds one.
            users.contains(&caller.user_id) || caller.groups.iter().any(|group| groups.contains(group))
        };
        let allows_by_name = !self.allow_users.is_empty() || !self.allow_groups.is_empty();
        !names(&self.deny_users, &self.deny_groups) && (!allows_by_name || names(&self.allow_users, &self.allow_groups))
    }

    /// Returns the list with its names sorted, each once, if it is within all limits.
    pub fn check(mut self) -> Result<Self, InvalidAccess> {
        let count = self.parts().into_iter().map(Vec::len).sum();
        check_names(self.parts().into_iter().flatten(), count, MAX_ACCESS_ENTRIES)?;
        for names in [
            &mut self.allow_users,
            &mut self.allow_groups,
            &mut self.deny_users,
            &mut self.deny_groups,
        ] {
            names.sort();
            names.dedup();
        }
        Ok(self)
    }

    fn parts(&self) -> [&Vec<String>; 4] {
        [
            &self.allow_users,
            &self.allow_groups,
            &self.deny_users,
            &self.deny_groups,
        ]
    }
}

impl UserContext {
    /// Returns the caller with its groups sorted, each once, if it is within all limits.
    pub fn check(mut self) -> Result<Self, InvalidAccess> {
        if self.user_id.is_empty() && self.groups.is_empty() {
            return Err(InvalidAccess::Nobody);
        }
        let user = (!self.user_id.is_empty()).then_some(&self.user_id);
        check_names(
            user.into_iter().chain(&self.groups),
            self.groups.len(),
            MAX_CALLER_GROUPS,
        )?;
        self.groups.sort();
        self.groups.dedup();
        Ok(self)
    }
}

fn check_names<'a>(
    mut names: impl Iterator<Item = &'a String>,
    count: usize,
    limit: usize,
) -> Result<(), InvalidAccess> {
    if count > limit {
        return Err(InvalidAccess::TooMany { limit, count });
    }
    match names.find(|name| name.is_empty() || name.len() > MAX_NAME_BYTES) {
        Some(name) => Err(InvalidAccess::Name { bytes: name.len() }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn list(allow: [&[&str]; 2], deny: [&[&str]; 2]) -> AccessList {
        AccessList {
            allow_users: names(allow[0]),
            allow_groups: names(allow[1]),
            deny_users: names(deny[0]),
            deny_groups: names(deny[1]),
        }
    }

    fn caller(user_id: &str, groups: &[&str]) -> UserContext {
        UserContext {
            user_id: user_id.to_owned(),
            groups: names(groups),
        }
    }

    #[test]
    fn lists_admit_whom_they_allow() {
        #[track_caller]
        fn check(list: &AccessList, expected: [bool; 5]) {
            let callers = [
                None,
                Some(caller("ann", &[])),
                Some(caller("ann", &["staff"])),
                Some(caller("bob", &["staff", "interns"])),
                Some(caller("", &["staff"])),
            ];
            let admitted = callers.map(|caller| list.admits(caller.as_ref()));
            assert_eq!(admitted, expected, "{list:?}");
        }
        check(&list([&[], &[]], [&[], &[]]), [true; 5]);
        check(&list([&["ann"], &[]], [&[], &[]]), [false, true, true, false, false]);
        check(&list([&[], &["staff"]], [&[], &[]]), [false, false, true, true, true]);
        check(
            &list([&["bob"], &["staff"]], [&["ann"], &[]]),
            [false, false, false, true, true],
        );
        check(
            &list([&[], &["staff"]], [&[], &["interns"]]),
            [false, false, true, false, true],
        );
        check(
            &list([&["bob"], &[]], [&[], &["interns"]]),
            [false, false, false, false, false],
        );
        check(&list([&[], &[]], [&["bob"], &[]]), [false, true, true, false, true]);
    }

    #[test]
    fn lists_beyond_limits_are_refused() {
        let many = vec!["x".to_owned(); MAX_ACCESS_ENTRIES];
        let twice = AccessList {
            allow_users: many.clone(),
            ..AccessList::default()
        };
        assert_eq!(twice.clone().check().map(|list| list.allow_users.len()), Ok(1));
        let too_many = AccessList {
            deny_groups: names(&["y"]),
            ..twice
        };
        let error = too_many.check().expect_err("it is refused");
        assert_eq!(error.to_string(), "at most 1000 names are taken, there are 1001");
        assert!(matches!(
            list([&[""], &[]], [&[], &[]]).check(),
            Err(InvalidAccess::Name { bytes: 0 })
        ));
        assert_eq!(caller("", &[]).check(), Err(InvalidAccess::Nobody));
        assert!(caller("ann", &[""]).check().is_err() && caller(&"x".repeat(257), &[]).check().is_err());
        assert_eq!(caller("", &["b", "a", "b"]).check(), Ok(caller("", &["a", "b"])));
    }
}
