# Sourced by scripts that use programs of Debian.

# Installs Debian packages if this user may; says why not otherwise.
install_debian() {
    local become=() script=${0##*/}
    if ! command -v apt-get > /dev/null; then
        echo "$script: no apt-get here to install $*" >&2
        return 1
    fi
    if [ "$(id -u)" -ne 0 ]; then
        if ! sudo -n true 2> /dev/null; then
            echo "$script: not installing $*: that needs root; run: sudo apt-get install $*" >&2
            return 1
        fi
        become=(sudo -n)
    fi
    "${become[@]}" apt-get update -q > /dev/null &&
        "${become[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -yq --no-install-recommends "$@" > /dev/null
}
