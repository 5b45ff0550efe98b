//! The netio room of getvpn.
