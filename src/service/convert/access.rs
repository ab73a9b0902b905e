//! Access lists and callers, both ways.

use crate::document::access::{AccessList, UserContext};
use crate::knowledge_base::Error;
use crate::service::pb;

/// Returns an access list within its limits; none is open to all.
pub(super) fn access_list(field: &str, wire: Option<pb::AccessList>) -> Result<AccessList, Error> {
    let wire = wire.unwrap_or_default();
    let list = AccessList {
        allow_users: wire.allow_users,
        allow_groups: wire.allow_groups,
        deny_users: wire.deny_users,
        deny_groups: wire.deny_groups,
    };
    list.check()
        .map_err(|invalid| Error::invalid(field, invalid.to_string()))
}

/// Returns an access list for the wire; nothing for one that is open to all.
pub(super) fn wire_access_list(list: AccessList) -> Option<pb::AccessList> {
    if list.is_open() {
        return None;
    }
    Some(pb::AccessList {
        allow_users: list.allow_users,
        allow_groups: list.allow_groups,
        deny_users: list.deny_users,
        deny_groups: list.deny_groups,
    })
}

/// Returns who asks.
pub(in crate::service) fn caller(wire: Option<pb::UserContext>) -> Result<Option<UserContext>, Error> {
    let checked = wire.map(|wire| {
        UserContext {
            user_id: wire.user_id,
            groups: wire.groups,
        }
        .check()
    });
    checked
        .transpose()
        .map_err(|invalid| Error::invalid("user_context", invalid.to_string()))
}
