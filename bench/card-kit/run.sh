#!/bin/bash
# run.sh [--quick] [--tiny] [--phases a,b,…] [--budget seconds]: everything of the kit on a bare Linux x86-64 machine with a card. It
# needs bash, coreutils and the card's driver; no network, no Node, no npm; PyTorch is measured where python3 has torch. Results go
# to $OUT (./card-kit-results when it is not set), anew after each phase: a phase that fails or hangs leaves the others.
KIT=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
QUICK=false TINY=false PHASES=info,suite,tilings,ours,torch,bench BUDGET=
while [ $# -gt 0 ]; do
  case $1 in
    --quick) QUICK=true ;;
    --tiny) TINY=true ;;
    --phases) PHASES=$2; shift ;;
    --budget) BUDGET=$2; shift ;;
    *) echo "run.sh: unknown option $1; it takes --quick, --tiny, --phases $PHASES, --budget seconds" >&2; exit 2 ;;
  esac
  shift
done
SCALE=${KIT_SCALE:-1} # for slow machines, where only its working is tried
if $QUICK; then BUDGET=${BUDGET:-$((215 * SCALE))}; else BUDGET=${BUDGET:-$((570 * SCALE))}; fi
W=${KIT_WORK:-${TMPDIR:-/tmp}/pushforward-card-kit}
R=${OUT:-$PWD/card-kit-results}
H=$KIT/homes K=$KIT/homes/kit NODE=$KIT/bin/node
START=$SECONDS
export HOME=$W/home XDG_CACHE_HOME=$W/cache
export TORCHINDUCTOR_CACHE_DIR=$W/inductor TRITON_CACHE_DIR=$W/triton PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
mkdir -p "$R/logs" "$HOME" "$XDG_CACHE_HOME" || exit 1
R=$(cd "$R" && pwd)
rm -rf "$R"/*.json "$R"/*.jsonl "$R"/logs/* "$R"/weights
left() { echo $((BUDGET - (SECONDS - START))); }
say() { echo "[$((SECONDS - START))s] $*"; }
summarise() { "$NODE" "$K/summary.mjs" "$R" "$R/summary.txt" "$R/summary.json" >>"$R/logs/summary.log" 2>&1; }
note() { # name rc seconds limit
  printf '{"name":"%s","rc":%d,"seconds":%d,"limit":%d}\n' "$1" "$2" "$3" "$4" >>"$R/phases.jsonl"
}
wants() { case ,$PHASES, in *,$1,*) return 0 ;; *) return 1 ;; esac; }
# phase NAME FULL QUICK COMMAND…: within its limit in seconds and what is left; "BUDGET" among its words becomes that less 4 s. Its
# output goes to its log, of which the last lines are shown when it fails.
phase() {
  local name=$1 limit=$(($2 * SCALE)) at=$SECONDS rc=0 rest words=()
  if $QUICK; then limit=$(($3 * SCALE)); fi
  shift 3
  rest=$(($(left) - 8))
  if [ "$limit" -gt "$rest" ]; then limit=$rest; fi
  if [ "$limit" -lt 5 ]; then say "$name: not run, no time left"; note "$name" 99 0 0; return; fi
  for word in "$@"; do words+=("${word//BUDGET/$((limit - 4))}"); done
  timeout -k 5 "$limit" "${words[@]}" >"$R/logs/$name.log" 2>&1 || rc=$?
  note "$name" $rc $((SECONDS - at)) "$limit"
  say "$name: rc $rc after $((SECONDS - at)) s (limit $limit)"
  if [ $rc != 0 ]; then tail -n 4 "$R/logs/$name.log" | cut -c1-300; fi
  summarise
}

# ---- the machine ----
{
  echo "pushforward $(cat "$KIT/commit"), $(date -u +%Y-%m-%dT%H:%MZ), $($QUICK && echo quick || echo full)$($TINY && echo ', tiny')"
  uname -a; head -2 /etc/os-release; nproc; free -m; df -h /tmp
  nvidia-smi --query-gpu=name,driver_version,memory.total,clocks.sm,clocks.mem,clocks.max.sm,clocks.max.mem,power.limit,persistence_mode,temperature.gpu --format=csv
  nvidia-smi
  ls -l /usr/local/nvidia/share/vulkan/icd.d /usr/share/vulkan/icd.d /etc/vulkan/icd.d /usr/local/nvidia/lib64
  ldconfig -p | grep -E 'vulkan|EGL|GLX|libX11|libXext|stdc\+\+'
  python3 --version
  env | grep -E '^(NVIDIA|CUDA|LD_|VK_|__)'
} >"$R/logs/machine.log" 2>&1

# a machine without a C++ runtime gets ours
if ! "$NODE" --version >/dev/null 2>&1; then export LD_LIBRARY_PATH="$KIT/runtime${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"; fi
if ! "$NODE" --version >/dev/null 2>"$R/logs/node.log"; then say "FATAL: the kit's Node does not start:"; cat "$R/logs/node.log"; exit 1; fi
say "Node $("$NODE" --version), pushforward $(cat "$KIT/commit")"

# ---- an adapter: the environment as it is, then with more and more help ----
probe() { # label
  local found rc=0
  found=$(timeout -k 2 30 "$NODE" "$K/probe.mjs" 2>&1) || rc=$?
  printf -- '--- %s: rc %d\n%s\n' "$1" $rc "$found" >>"$R/logs/probe.log"
  [ $rc = 0 ] || return 1
  say "adapter ($1): $(echo "$found" | grep '^{' | cut -c1-200)"
}
# libraries of the kit go behind the machine's own
with_libraries() { export LD_LIBRARY_PATH="${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}$KIT/$1"; }
adapter() {
  local icd=/usr/local/nvidia/share/vulkan/icd.d/nvidia_icd.json lib path
  probe "as it is" && return 0
  with_libraries loaders
  probe "with Vulkan's loader" && return 0
  if [ -e $icd ]; then
    export VK_DRIVER_FILES=$icd VK_ICD_FILENAMES=$icd __EGL_VENDOR_LIBRARY_FILENAMES=/usr/local/nvidia/share/glvnd/egl_vendor.d/10_nvidia.json
    probe "with the driver's file" && return 0
  fi
  # the driver's library may want X11's, even without a display
  with_libraries x11
  probe "with X11's libraries" && return 0
  # a driver file of our own, for each library that may hold the driver
  for lib in libEGL_nvidia.so.0 libGLX_nvidia.so.0; do
    path=$(find /usr/local/nvidia /usr/lib /usr/lib64 -name "$lib*" 2>/dev/null | head -1)
    [ -z "$path" ] && continue
    printf '{"file_format_version":"1.0.1","ICD":{"library_path":"%s","api_version":"1.3.0"}}\n' "$path" >"$W/nvidia_icd.json"
    export VK_DRIVER_FILES=$W/nvidia_icd.json VK_ICD_FILENAMES=$W/nvidia_icd.json
    probe "with a driver file for $path" && return 0
  done
  return 1
}
at=$SECONDS HAVE=true
adapter || HAVE=false
$HAVE && note adapter 0 $((SECONDS - at)) 180
if ! $HAVE; then
  note adapter 1 $((SECONDS - at)) 180
  VK_LOADER_DEBUG=error,warn,driver timeout 20 "$NODE" "$K/probe.mjs" >>"$R/logs/probe.log" 2>&1
  summarise
  cat "$R/summary.txt"
  software=$(grep -m1 -o '"description":"[^"]*"' "$R/logs/probe.log" | cut -d'"' -f4)
  if [ -n "$software" ]; then say "NO CARD: the one adapter is in software ($software). KIT_ALLOW_SOFTWARE=1 takes it, to try the kit."
  else say "NO CARD: no driver of Vulkan answers."; fi
  say "Where nvidia-smi or lspci see a card: install its Vulkan driver (NVIDIA's: libnvidia-gl of the version of the kernel's module, in containers"
  say "NVIDIA_DRIVER_CAPABILITIES=all; AMD's and Intel's: mesa-vulkan-drivers), or name the driver's file: VK_DRIVER_FILES=/…/icd.json card-kit/run.sh."
  say "Each try, and what the loader says of it: $R/logs/probe.log"
  exit 1
fi
summarise

cores=$(nproc)
jobs=$((cores / 4)); [ $jobs -lt 1 ] && jobs=1; [ $jobs -gt 4 ] && jobs=4
compilers=$((cores / 2)); [ $compilers -lt 1 ] && compilers=1
HOW="\"quick\":$QUICK,\"tiny\":$TINY,\"budget\":BUDGET"
WORKS="\"works\":\"$K/works.json\",\"folder\":\"$R/weights\",\"only\":\"${KIT_ONLY:-}\""
BUNDLE="\"launcher\":\"$H/launcher.mjs\",\"cwd\":\"$H\""
PYTORCH=(python3 "$K/pytorch.py" --works "$K/works.json" --folder "$R/weights" --only "${KIT_ONLY:-}")
$QUICK && PYTORCH+=(--quick)
$TINY && PYTORCH+=(--tiny)
if wants torch && ! python3 -c 'import torch' 2>"$R/logs/torch.log"; then
  say "torch: left out, python3 cannot import it"
  PHASES=${PHASES//torch/}
elif wants torch && [ "${KIT_ALLOW_SOFTWARE:-}" != 1 ] && ! python3 -c 'import sys, torch; sys.exit(not torch.cuda.is_available())' 2>"$R/logs/torch.log"; then
  say "torch: left out, it sees no card (torch.cuda.is_available() is False), and a processor beside a card compares nothing"
  PHASES=${PHASES//torch/}
fi

wants torch && phase weights 40 40 "$NODE" "$K/ours.mjs" "{$WORKS,$HOW,\"out\":\"$R/weights.json\",\"weightsOnly\":true}"
wants info && phase info 60 30 "$NODE" "$K/info.mjs" "{$HOW,\"out\":\"$R/info.json\"}"
# PyTorch compiles into its cache while the suite runs
WARM=
if wants torch && wants suite && [ "${KIT_WARM:-1}" = 1 ]; then
  timeout -k 5 $((150 * SCALE)) "${PYTORCH[@]}" --json "$W/warm.json" --warm --budget $((145 * SCALE)) >"$R/logs/warm.log" 2>&1 &
  WARM=$!
fi
wants suite && phase suite 130 60 "$NODE" "$K/suite.mjs" "{$BUNDLE,$HOW,\"bundle\":\"$H/suite.mjs\",\"out\":\"$R/suite.json\",\"jobs\":$jobs,\"filter\":\"${KIT_FILTER:-}\",\"testLimit\":$((90 * SCALE))}"
# the compilations in the background get no time of their own
if [ -n "$WARM" ]; then kill -TERM $WARM 2>/dev/null; wait $WARM 2>/dev/null; fi
wants tilings && phase tilings 100 40 "$NODE" "$K/tilings.mjs" "{$HOW,\"out\":\"$R/tilings.json\",\"compilers\":$compilers}"
wants ours && phase ours 80 35 "$NODE" "$K/ours.mjs" "{$WORKS,$HOW,\"out\":\"$R/ours.json\"}"
wants torch && phase torch 115 45 "${PYTORCH[@]}" --json "$R/torch.json" --budget BUDGET
suites='"sample","train","likelihood","stream","scale","velocity","divergence","ceiling"'
$QUICK && suites='"ceiling","train"'
wants bench && phase bench 85 25 "$NODE" "$K/benches.mjs" "{$BUNDLE,$HOW,\"bundle\":\"$H/bench.mjs\",\"out\":\"$R/bench.json\",\"suites\":[${KIT_SUITES:-$suites}],\"commit\":\"$(cat "$KIT/commit")\"}"
summarise
cat "$R/summary.txt"
say "done: summary.txt, summary.json, a file for each phase and logs/ are in $R"
