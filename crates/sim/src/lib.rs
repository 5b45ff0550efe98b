//! The sim room of getvpn.
