# Sourced by the executables beside it: makes sure of the system packages and of the Python environment.
# Everything it does is said; nothing is done twice. Needs bash.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

say() { printf '%s\n' "$*" >&2; }
fail() { say "error: $1"; [ -n "${2:-}" ] && say "  fix: $2"; exit 2; }

# quietly COMMAND...: what it says goes to a file, of which a failure shows the end.
quietly() {
    local log code=0; log=$(mktemp)
    "$@" >"$log" 2>&1 || code=$?
    if [ "$code" -eq 0 ]; then
        rm -f "$log"
    else
        tail -n 20 "$log" >&2
        say "  all of it: $log"
    fi
    return "$code"
}

# package:what it is for
system_packages=(
    "python3-venv:the Python environment"
    "python3-dev:building Python packages that have no wheel"
    "mosquitto:the MQTT broker between agents and coordinator"
    "bluez-meshd:bluetooth-meshd, the real mesh nodes"
    "dbus:the message bus that bluetooth-meshd talks on"
    "gcc:compiling the shim that gives bluetooth-meshd an air without a radio"
    "libc6-dev:the C library's headers, for the same"
    "libssl-dev:AES for that shim"
)

install_system_packages() {
    local missing=() entry
    command -v dpkg-query >/dev/null || {
        say "note: this is no Debian machine; expecting mosquitto, bluez-meshd, dbus and gcc to be there"
        return 0
    }
    for entry in "${system_packages[@]}"; do
        if [ "$(dpkg-query -W -f '${db:Status-Status}' "${entry%%:*}" 2>/dev/null)" != installed ]; then
            missing+=("${entry%%:*}")
            say "installing ${entry%%:*}: ${entry#*:}"
        fi
    done
    [ ${#missing[@]} -eq 0 ] && return 0
    local as_root=()
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null || fail "${missing[*]} are missing and there is no sudo" \
            "as root: apt-get install ${missing[*]}"
        as_root=(sudo)
    fi
    { quietly "${as_root[@]}" apt-get update && quietly "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y --no-install-recommends "${missing[@]}"; } ||
        fail "apt-get could not install ${missing[*]}" "the lines above say why"
}

find_python() {
    local candidate
    # The system's own first: python3-venv and python3-dev belong to it, and users have it.
    for candidate in ${1:+"$1"} /usr/bin/python3.11 /usr/bin/python3 python3.11 python3; do
        if "$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then
            command -v "$candidate"
            return 0
        fi
        [ -n "${1:-}" ] && break
    done
    fail "no Python 3.11 to 3.13${1:+ at $1}" "apt-get install python3, or name one with --python PATH"
}

# make_environment [PYTHON]: sets $python to the environment's interpreter.
make_environment() {
    local base venv wanted stamp
    base=$(find_python "${1:-}") || exit 2
    venv="$root/.venv"
    [ -n "${1:-}" ] && venv="$root/.venv-$("$base" -c 'import sys; print("%d.%d" % sys.version_info[:2])')"
    wanted=$(cat "$root/pyproject.toml" "$root/tools/constraints.txt" | sha256sum | cut -d' ' -f1)
    stamp="$venv/.meshtwin-$wanted"
    python="$venv/bin/python"
    [ -e "$stamp" ] && return 0
    say "making the Python environment ${venv#"$root"/} (once, about a minute)"
    [ -x "$python" ] || "$base" -m venv "$venv" || fail "python -m venv failed" "apt-get install python3-venv"
    quietly "$python" -m pip install --quiet --disable-pip-version-check -c "$root/tools/constraints.txt" \
        -e "$root[edge,tasks,virtual,coordinator,dask,dev]" || fail "pip could not install the packages" \
        "the lines above say why; is a package index within reach? try again, the finished part is kept"
    rm -f "$venv"/.meshtwin-*
    : >"$stamp"
}

# make_tflite_runtime_environment: beside $python, where that is 3.11; its test is skipped where it cannot be made.
make_tflite_runtime_environment() {
    local venv="$root/.venv-tflite-runtime" wanted stamp
    "$python" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || return 0
    wanted=$(sha256sum "$root/tools/tflite-runtime.txt" | cut -d' ' -f1)
    stamp="$venv/.meshtwin-$wanted"
    [ -e "$stamp" ] && return 0
    say "making the Python environment ${venv#"$root"/}, for the TFLite runtime of old (once)"
    { [ -x "$venv/bin/python" ] || "$python" -m venv "$venv"; } && quietly "$venv/bin/python" -m pip install \
        --quiet --disable-pip-version-check -r "$root/tools/tflite-runtime.txt" || {
        say "note: tflite-runtime could not be installed; the test that compares it with LiteRT is skipped"
        return 0
    }
    rm -f "$venv"/.meshtwin-*
    : >"$stamp"
}
