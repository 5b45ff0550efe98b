# The commands of the house. `just --list` shows them.

# everything that CI runs
ci:
    ./.ci/run

# unit, property, transcript and scenario tests; no root
test:
    cargo test --workspace --locked

# the law: format, lints, rooms, quotations
check:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets --locked -- -D warnings
    cargo xtask tidy
    cargo xtask rfc

# seeds in virtual time
sim *ARGS:
    cargo run --release --locked -- sim {{ARGS}}

# a long run of seeds, with the slower build of the faster program: just sim-long 201 2000
sim-long FIRST COUNT:
    cargo run --profile dist --locked -p getvpn-sim --example seeds -- {{FIRST}} {{COUNT}} 24 2..8 2..64

# the same for thousands of seeds: built twice, the second time for what ten seeds of the first did
# (a tenth faster still; needs `rustup component add llvm-tools`): just sim-profiled 201 2000
sim-profiled FIRST COUNT:
    #!/bin/sh -eu
    profile=$PWD/target/profile
    seeds="-p getvpn-sim --example seeds"
    RUSTFLAGS=-Cprofile-generate=$profile cargo build --target-dir target/profiled --profile dist --locked $seeds
    target/profiled/dist/examples/seeds 30 10 24 2..8 2..64
    tools=$(rustc --print sysroot)/lib/rustlib/$(rustc -vV | sed -n 's/host: //p')/bin
    "$tools/llvm-profdata" merge -o "$profile/merged" "$profile"/*.profraw
    export RUSTFLAGS=-Cprofile-use=$profile/merged
    cargo run --target-dir target/profiled --profile dist --locked $seeds -- {{FIRST}} {{COUNT}} 24 2..8 2..64

# does the simulator notice what mutants/*.patch break: just mutants [NAME...]
mutants *ARGS:
    cargo xtask mutants {{ARGS}}

# every way in which a group of key servers can go wrong within bounds: just model [NAME=NUMBER...]
model *ARGS:
    cargo xtask model small {{ARGS}}

# the same with three key servers; long
model-full *ARGS:
    cargo xtask model full {{ARGS}}

# does the model check notice what mutants/model/*.patch take out of the design
model-ablations *ARGS:
    cargo xtask model ablations {{ARGS}}

# the network of the guide, in namespaces, with the real program
lab *ARGS:
    cargo run --release --locked -- lab {{ARGS}}

# registrations per second, nanoseconds per packet, throughput through the lab
bench *ARGS:
    cargo run --release --locked -- bench {{ARGS}}

# fuzz targets for a number of executions, and their table (nightly): just fuzz -n 1000000 [TARGET...]
fuzz *ARGS:
    fuzz/run.sh {{ARGS}}

# ten minutes of 20,000 packets/s both ways over short-lived keys, then the same without the group
soak SECONDS="600":
    cargo build --release --locked
    tests/soak/soak.py --seconds {{SECONDS}}

# the group under traffic while key servers die, split and rekey: just failover --kills 5
failover *ARGS:
    cargo build --release --locked
    tests/soak/failover.py {{ARGS}}

# a million hostile datagrams at the routers of a live lab: just hostile --count 20000
hostile *ARGS="--count 1000000":
    cargo build --release --locked
    tests/soak/hostile.py {{ARGS}}

# two builds in one group, router after router: just rolling --old-commit 58c2312
rolling *ARGS:
    cargo build --release --locked
    tests/soak/rolling.py {{ARGS}}

# cables that delay, lose, double and reorder, as root and without
impair *ARGS="--long --rekeys 5":
    cargo build --release --locked
    tests/soak/impair.py {{ARGS}}

# the recorded run: 100 kills, 30 splits, 100 rekeys of each kind
lab-long:
    cargo build --release --locked
    tests/soak/failover.py --pps 20000 --kills 100 --splits 30 --split-max 18 --rekeys 100
    tests/interop/fail_close.py --rounds 100
