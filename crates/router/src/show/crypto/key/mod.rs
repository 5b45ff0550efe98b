//! `show crypto key ...`.

pub mod mypubkey;
