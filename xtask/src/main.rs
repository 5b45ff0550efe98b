//! The housekeeping of the house.

fn main() {}
