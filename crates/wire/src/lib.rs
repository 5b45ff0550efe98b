//! The wire room of getvpn.
