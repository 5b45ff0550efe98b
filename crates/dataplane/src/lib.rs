//! The dataplane room of getvpn.
