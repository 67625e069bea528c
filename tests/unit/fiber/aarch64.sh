#!/bin/sh
# The context switch of AArch64, tested on whatever machine this is: Debian's cross compiler and
# qemu-user. Exit code 77: skipped.
set -eu

cc=${AARCH64_CC:-aarch64-linux-gnu-gcc}
qemu=${AARCH64_QEMU:-qemu-aarch64}
top=$(cd "$(dirname "$0")/../../.." && pwd)

need() {
    command -v "$1" >/dev/null && return
    echo "SKIP: $1 is missing (apt-get install $2)"
    exit 77
}
need "$cc" "gcc-aarch64-linux-gnu libc6-dev-arm64-cross"
need "$qemu" qemu-user

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
for level in -O0 -O2; do
    "$cc" $level -static -Wall -Wextra -D_GNU_SOURCE -I"$top/src" \
        "$top/tests/unit/fiber/test_context.c" "$top/src/fiber/context_aarch64.S" -lm \
        -o "$dir/test_context"
    "$qemu" "$dir/test_context"
done
