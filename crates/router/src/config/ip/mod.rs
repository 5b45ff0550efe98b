//! `ip ...`.

pub mod access_list;
pub mod route;
