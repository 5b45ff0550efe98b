//! The command line: one declarative grammar for everything an operator types.
//!
//! Decides what a line says; what it does is decided where the command is defined
//! (`config`, `show`, `exec`). A line comes in as text and a reply goes out as text: echo, keys and
//! sockets are the consoles' business.

mod exec;
pub mod grammar;
pub mod line;
mod manual;
pub mod mode;
pub mod pipe;
pub mod session;
pub mod words;

pub use manual::manual;
pub use session::{Operated, Reply, Session, Status};
