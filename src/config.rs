//! File, environment and flags to one configuration, checked once.
