//! The router room of getvpn.
