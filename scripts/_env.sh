# shellcheck shell=bash
# Sourced by the scripts beside this file: finds Python and uv, keeps the environments.
# Keep to Bash 3.2, which is what macOS has.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
versions=("3.14" "3.13") # newest first; one file of pins in requirements/ for each
seen=""
unset PYTHONHOME PYTHONPATH # those of another environment would break ours

say() { printf '%s\n' "$*" >&2; }
die() {
  say "$@"
  exit 1
}

# Prints "<version> <path>" of an interpreter that can carry Home Assistant, or the reason why not.
# It must also run on what it refuses, Python 2 included.
probe_code='
import sys
v = sys.version_info[:3]
text = "%d.%d.%d" % v
try:
    import ctypes, sqlite3, ssl, sysconfig
except ImportError as err:
    sys.exit(text + " lacks a module: " + str(err))
if v < (3, 13):
    sys.exit(text + " is too old")
if v >= (3, 15):
    sys.exit(text + " is newer than Home Assistant supports")
if (3, 14) <= v < (3, 14, 2):
    sys.exit(text + " is too old: Home Assistant needs 3.14.2")
if sys.implementation.name != "cpython" or sysconfig.get_config_var("Py_GIL_DISABLED"):
    sys.exit(text + " is not the standard build of CPython")
print("%d.%d %s" % (v[0], v[1], getattr(sys, "_base_executable", None) or sys.executable))
'

# probe CANDIDATE: sets found_version and found_python. Only a run can tell: a shim may lead nowhere.
probe() {
  local out
  found_version="" found_python=""
  if out=$("$1" -I -c "$probe_code" 2>&1 </dev/null); then
    found_version=${out%% *}
    found_python=${out#* }
    [[ -x $found_python && $found_version == 3.1[34] ]] && return 0
    out="does not run"
  fi
  case $out in
    [23].*) ;;
    *) out="does not run" ;;
  esac
  seen="$seen
  $1: $out"
  return 1
}

# Where a Python may be, the likeliest first, one path a line
candidates() {
  local name folder version
  for name in python3.14 python3.13 python3 python; do
    type -aP "$name" || true
  done
  for version in "${versions[@]}"; do
    for folder in "$root/.cache/python" "${UV_PYTHON_INSTALL_DIR:-${XDG_DATA_HOME:-$HOME/.local/share}/uv/python}"; do
      printf '%s\n' "$folder/cpython-$version".*/bin/python3
    done
    printf '%s\n' "${PYENV_ROOT:-$HOME/.pyenv}/versions/$version".*/bin/python
  done
}

# find_python best|3.13|3.14|PATH: sets python and version. Downloads only if nothing else helps.
find_python() {
  local want=$1 candidate other_python=""
  version="" python=""
  case $want in
    best | 3.13 | 3.14) ;;
    */*)
      probe "$want" || die "Not a usable Python:$seen"
      version=$found_version python=$found_python
      return
      ;;
    *) die "--python takes 3.13, 3.14 or the path of an interpreter, not '$want'" ;;
  esac
  while IFS= read -r candidate; do
    [[ -x $candidate ]] || continue
    probe "$candidate" || continue
    if [[ $found_version == "$want" || ($want == best && $found_version == "${versions[0]}") ]]; then
      version=$found_version python=$found_python
      return
    fi
    [[ -n $other_python ]] || other_python=$found_python
  done < <(candidates)
  if [[ $want == best && -n $other_python ]]; then
    version=${versions[1]} python=$other_python
    return
  fi
  download_python "$want"
}

download_python() {
  local want=$1 candidate
  [[ $want == best ]] && want=${versions[0]}
  if find_uv 2>/dev/null; then
    say "No Python $want here; uv downloads one …"
    if UV_HTTP_TIMEOUT=${UV_HTTP_TIMEOUT:-30} UV_HTTP_RETRIES=${UV_HTTP_RETRIES:-1} \
      "$uv" python install --no-bin --install-dir "$root/.cache/python" "$want" </dev/null; then
      for candidate in "$root/.cache/python/cpython-$want".*/bin/python3; do
        if probe "$candidate"; then
          version=$found_version python=$found_python
          return
        fi
      done
    fi
  fi
  die "No usable Python $want. Home Assistant needs CPython 3.13, or 3.14 from 3.14.2 on, with ssl and sqlite3. Any of these installs one:
  uv python install $want          (uv: https://docs.astral.sh/uv/)
  pyenv install $want              (pyenv: https://github.com/pyenv/pyenv)
  sudo apt install python$want     (where the distribution has it)
Or name one: --python /path/to/python.${seen:+ Tried:$seen}"
}

# Sets uv: the one on the PATH, else a copy of our own that any Python ≥ 3.8 with venv or pip can fetch
find_uv() {
  local own=$root/.cache/uv helper work
  [[ -n ${uv:-} ]] && return
  if uv=$(type -P uv) && "$uv" --version >/dev/null 2>&1; then return; fi
  uv=$own
  "$uv" --version >/dev/null 2>&1 && return
  mkdir -p "$root/.cache"
  work=$(mktemp -d "$root/.cache/fetch.XXXXXX")
  while IFS= read -r helper; do
    [[ -x $helper ]] || continue
    "$helper" -c 'import sys; sys.exit(sys.version_info < (3, 8))' >/dev/null 2>&1 || continue
    say "Fetching uv with $helper …"
    if { "$helper" -m venv "$work/venv" && "$work/venv/bin/python" -m pip install -q uv && mv "$work/venv/bin/uv" "$own"; } >"$work/log" 2>&1 ||
      { "$helper" -m pip install -q --target "$work/pip" uv && mv "$work/pip/bin/uv" "$own"; } >>"$work/log" 2>&1; then
      rm -rf "$work"
      "$uv" --version >/dev/null && return
    fi
  done < <(
    [[ -z ${python:-} ]] || printf '%s\n' "$python"
    type -aP python3 python || true
    candidates
  )
  [[ ! -f $work/log ]] || tail -n 3 "$work/log" >&2
  rm -rf "$work"
  uv=""
  say "uv is needed, and no Python here can fetch it. Install it: https://docs.astral.sh/uv/getting-started/installation/"
  return 1
}

# env_is_current FOLDER PINS [PYTHON]: made to the end, from these pins (and by this interpreter), and it still runs
env_is_current() {
  [[ -f $1/.stamp ]] || return 1
  local made_by
  IFS= read -r made_by <"$1/.stamp"
  [[ ${3:-$made_by} == "$made_by" ]] || return 1
  [[ "$(<"$1/.stamp")" == "$made_by"$'\n'"$(<"$2")" ]] || return 1
  "$1/bin/python" -I -c '' >/dev/null 2>&1
}

# make_env FOLDER PINS PYTHON. The stamp goes first and comes back last, so that what was interrupted is made anew.
make_env() (
  folder=$1 pins=$2 by=$3 made_by=""
  mkdir -p "$root/.cache"
  exec 9>"$root/.cache/${folder##*/}.lock"
  if command -v flock >/dev/null; then flock 9; fi
  env_is_current "$folder" "$pins" "$by" && exit 0
  find_uv || exit 1
  say "Making ${folder##*/} with $by …"
  SECONDS=0
  if [[ -f $folder/.stamp ]]; then IFS= read -r made_by <"$folder/.stamp"; fi
  rm -f "$folder/.stamp"
  if [[ $made_by != "$by" ]] || ! "$folder/bin/python" -I -c '' >/dev/null 2>&1; then
    rm -rf "$folder"
    "$uv" --quiet venv --no-project --python "$by" "$folder" 9>&- || exit 1
  fi
  if ! "$uv" --quiet pip sync --python "$folder/bin/python" "$pins" 9>&-; then
    type -P cc >/dev/null || say "There is no C compiler, and some packages have to be compiled (Debian: apt install build-essential)."
    exit 1
  fi
  { printf '%s\n' "$by" && cat "$pins"; } >"$folder/.stamp.new"
  mv "$folder/.stamp.new" "$folder/.stamp"
  say "Made ${folder##*/} in $SECONDS s"
)

# use_env best|3.13|3.14|PATH: sets version, venv (its folder) and the environment's python
use_env() {
  local want=$1
  if [[ $want == best ]] && env_is_current "$root/.venv-${versions[0]}" "$root/requirements/python-${versions[0]}.txt"; then
    want=${versions[0]}
  fi
  venv=$root/.venv-$want
  if [[ $want == 3.1[34] ]] && env_is_current "$venv" "$root/requirements/python-$want.txt"; then
    version=$want
  else
    find_python "$want"
    venv=$root/.venv-$version
    local pins=$root/requirements/python-$version.txt
    env_is_current "$venv" "$pins" "$python" || make_env "$venv" "$pins" "$python" || die "No environment for Python $version"
  fi
  python=$venv/bin/python
}
