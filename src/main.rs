//! The street door.

fn main() {}
