//! The lab room of getvpn.
