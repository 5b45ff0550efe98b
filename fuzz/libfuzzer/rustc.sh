#!/bin/bash
# rustc for the fuzz targets. Two crates are left without coverage instrumentation: `fuzz`, whose
# peer signs, encrypts and negotiates as any peer does, and `crypto`, where loops over octets are
# all that could be seen. They cost more than the machines under test, and coverage of them would
# make inputs interesting that lead to nothing new there.
rustc=$1
shift
for argument; do
    [ "$before" != --crate-name ] || crate=$argument
    before=$argument
done
if [ "$crate" = fuzz ] || [ "$crate" = crypto ]; then
    rest=()
    for argument; do
        case $argument in
            -Cpasses=sancov-module | -Cllvm-args=-sanitizer-coverage-*) ;;
            *) rest+=("$argument") ;;
        esac
    done
    set -- "${rest[@]}"
fi
exec "$rustc" "$@"
