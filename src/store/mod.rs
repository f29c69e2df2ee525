//! SQLite, the only memory.
