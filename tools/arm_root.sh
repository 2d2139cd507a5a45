#!/usr/bin/env bash
# Runs Lepton on emulated ARM processors: kernels, the matrix of hashes, small models and a chat on
# each rung of instructions, and compares the bytes of the rungs.
#
#     tools/arm_root.sh [FOLDER] [RUNG...]
#
# FOLDER (/var/tmp/lepton-arm) gets an arm64 Debian with the project's dependencies, 1 GB, and the
# compiled kernels; the next run uses them again. Needs x86-64 Debian or Ubuntu, its packages
# debootstrap and qemu-user-static, and root (chroot, binfmt_misc). The first run takes hours.
# LEPTON_TEST_DATA names a folder of test data with small trained models (models/), if there is one.
# The tests take half an hour a rung on two cores. LEPTON_ARM_TESTS names others; if it is empty, only
# hashes and the chat are compared, which takes minutes.
set -euo pipefail

folder=${1:-/var/tmp/lepton-arm}
rungs=("${@:2}")
project=$(cd "$(dirname "$0")/.." && pwd)
root=$folder/root
declare -A processors=([generic]=cortex-a72 [dotprod]=neoverse-n1 [i8mm]=max) # by qemu's names
suite=bookworm python=3.11
tests=(tests/ops/test_simd.py tests/ops/weights/test_packing.py
    tests/ops/operations/test_attention{,_cache,_division}.py
    tests/models/test_same_bytes.py tests/models/test_recorded_models.py)
[ -z "${LEPTON_ARM_TESTS+set}" ] || read -ra tests <<< "$LEPTON_ARM_TESTS"

die() {
    echo "arm_root: $1" >&2
    exit 1
}

check_tools() {
    [ "$(id -u)" = 0 ] || die "this needs root: it makes device files and changes the root folder"
    for tool in debootstrap qemu-aarch64-static unshare; do
        command -v "$tool" > /dev/null ||
            die "$tool is missing: apt-get install debootstrap qemu-user-static util-linux"
    done
}

# The kernel starts ARM programs by qemu. Where no service has asked for that, this does.
register_qemu() {
    local known=/proc/sys/fs/binfmt_misc
    [ -e $known/register ] || mount -t binfmt_misc binfmt_misc $known
    [ -e $known/qemu-aarch64 ] || cat /usr/lib/binfmt.d/qemu-aarch64.conf > $known/register
}

make_root() {
    [ -e "$folder/made" ] && return
    rm -rf "$root"
    mkdir -p "$root"
    debootstrap --arch=arm64 --variant=minbase --include=python3 "$suite" "$root"
    touch "$folder/made"
}

# pip picks the wheels for ARM by itself, so nothing is installed by the emulator.
install_wheels() {
    local wanted
    wanted=$(sha256sum < "$project/pyproject.toml")
    [ "$wanted" = "$(cat "$folder/wheels" 2> /dev/null)" ] && return
    rm -rf "$root/opt/site"
    local platforms=(--platform manylinux2014_aarch64) glibc
    for glibc in 2_17 2_24 2_27 2_28 2_31 2_34 2_35 2_36; do
        platforms+=(--platform "manylinux_${glibc}_aarch64")
    done
    python3 -m pip install -q --root-user-action=ignore "${platforms[@]}" \
        --python-version "$python" --implementation cp --only-binary=:all: \
        --target "$root/opt/site" "$project[dev]"
    rm -rf "$root"/opt/site/{lepton_cli,ops,quant} # the copy of the work tree is used
    echo "$wanted" > "$folder/wheels"
}

copy_project() {
    rm -rf "$root/lepton"
    mkdir -p "$root/lepton" "$root/data"
    git -C "$project" ls-files -z |
        tar -C "$project" --null -T - -cf - | tar -C "$root/lepton" -xf -
    if [ -n "${LEPTON_TEST_DATA:-}" ]; then
        cp -ru "$LEPTON_TEST_DATA/models" "$root/data/"
    fi
}

# on RUNG COMMAND...: in the root, on a processor whose best rung this is. The variables of Numba
# are for tests that compile in their own process; Lepton sets them for its compilers.
on() {
    local rung=$1
    shift
    local target=(${targets[$rung]})
    unshare --mount --root="$root" --wd=/lepton --mount-proc env -i \
        PATH=/usr/bin:/bin HOME=/root LANG=C.UTF-8 QEMU_CPU="${processors[$rung]}" \
        PYTHONPATH=/lepton:/opt/site XDG_CACHE_HOME=/cache LEPTON_TEST_CACHE=/cache \
        LEPTON_TEST_DATA=/data NUMBA_CPU_NAME="${target[0]}" NUMBA_CPU_FEATURES="${target[1]}" \
        nice python3 "$@"
}

# Names, processors and features of ARM's rungs, as Numba's variables want them.
list_targets() {
    declare -gA targets=([any]="generic +neon")
    processors[any]=max
    local name target
    while read -r name target; do
        targets[$name]=$target
    done < <(on any -c 'from ops.cpu.rungs import ARM
for rung in ARM:
    print(rung.name, rung.processor, rung.features)')
    unset "targets[any]"
    [ ${#rungs[@]} -gt 0 ] || rungs=("${!targets[@]}")
    [ ${#rungs[@]} -gt 0 ] || die "Lepton does not start in $root"
    for name in "${rungs[@]}"; do
        [ -n "${targets[$name]:-}" ] || die "there is no rung $name: ARM has ${!targets[*]}"
        [ -n "${processors[$name]:-}" ] || die "no processor of qemu is known for the rung $name"
    done
}

check_rung() {
    local rung=$1
    on "$rung" -m lepton_cli doctor | grep '^instructions' | tee "$folder/$rung.instructions"
    grep -q "^instructions *$rung " "$folder/$rung.instructions" ||
        die "qemu's ${processors[$rung]} is not on the rung $rung"
    [ ${#tests[@]} = 0 ] || on "$rung" -m pytest -p no:cacheprovider "${tests[@]}"
    on "$rung" tests/ops/instruction_sets/logits_hashes.py | tee "$folder/$rung.hashes"
    on "$rung" -m lepton_cli chat builtin -n 30 --temp 0 <<< "Hello" | tee "$folder/$rung.chat"
}

check_tools
register_qemu
make_root
install_wheels
copy_project
list_targets
for rung in "${rungs[@]}"; do
    echo "== $rung (${processors[$rung]})"
    check_rung "$rung"
done
for rung in "${rungs[@]}"; do
    for what in hashes chat; do
        cmp "$folder/${rungs[0]}.$what" "$folder/$rung.$what" || die "$rung gives other bytes"
    done
done
echo "the same bytes on ${rungs[*]}"
