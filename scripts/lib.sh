# Shell helpers shared by the set-up scripts; source it.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

say() { printf '\033[1m%s\033[0m\n' "$*" >&2; }

die() {
  printf '\033[31m%s\033[0m\n' "$*" >&2
  exit 1
}

is_debian() { [ -r /etc/debian_version ] && command -v apt-get >/dev/null; }

as_root() {
  if [ "$(id -u)" = 0 ]; then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo "$@"
  else
    die "This needs root and sudo is not installed. Run as root, once: $*"
  fi
}

# apt_install PACKAGE...: installs those that are missing; does nothing, and needs no root, when none is.
apt_install() {
  local missing=() package
  for package in "$@"; do
    dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed ||
      missing+=("$package")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  is_debian || die "Install these first: ${missing[*]}"
  say "apt-get install ${missing[*]}"
  mkdir -p "$root/.cache"
  (
    flock 9 # set-up steps run side by side
    as_root apt-get -qq update
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends install \
      "${missing[@]}" >/dev/null </dev/null
  ) 9>"$root/.cache/apt.lock"
}
