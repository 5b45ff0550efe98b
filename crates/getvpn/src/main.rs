//! The getvpn program.

fn main() {}
