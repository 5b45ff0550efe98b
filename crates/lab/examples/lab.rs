//! The verbs of the lab by themselves: networks with plain nodes, traffic, captures.

use clap::Parser;

#[derive(Parser)]
struct Program {
    #[command(subcommand)]
    room: Room,
}

#[derive(clap::Subcommand)]
enum Room {
    Lab(lab::Args),
}

fn main() {
    let Room::Lab(args) = Program::parse().room;
    std::process::exit(lab::main(args));
}
