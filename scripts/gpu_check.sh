#!/usr/bin/env bash
# Everything that needs a GPU, in one run and without a network: the tests marked gpu, training on CUDA, and
# generation with the 1B shape of the Byte Latent Transformer at random weights, with and without CUDA graphs.
#
#   scripts/gpu_check.sh [FOLDER]      results; $OUT or records/gpu if left out
#
# PYTHON names the interpreter (3.11 or later, torch 2.9 or later); what it lacks may be on PYTHONPATH.
# SHAPE names the recipe whose shape generates. SIZES, WINDOW, BATCH and SECONDS_A_SIZE shape the benchmark, for example for a smaller card.
set -euo pipefail
cd "$(dirname "$0")/.."
out=${1:-${OUT:-records/gpu}}
python=${PYTHON:-python3}
export PYTHONPATH=src${PYTHONPATH:+:$PYTHONPATH}
mkdir -p "$out"

"$python" - "$out/gpu-check.json" <<'EOF'
import importlib.util, json, platform, sys
wanted = ("torch", "pydantic", "numpy", "safetensors", "tyro", "rich", "transformers", "pytest", "hypothesis")
missing = [name for name in wanted if importlib.util.find_spec(name) is None]
if missing:
    sys.exit(f"gpu_check: {sys.executable} lacks {', '.join(missing)}; put them on PYTHONPATH")
import torch
gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
facts = {"gpus": gpus, "torch": torch.__version__, "cuda": torch.version.cuda, "python": platform.python_version()}
with open(sys.argv[1], "w") as file:
    json.dump(facts, file, indent=1)
print(f"gpu_check: {', '.join(gpus) or 'there is no GPU here; nothing was checked'} (torch {torch.__version__})")
EOF
"$python" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())' || exit 0

failed=0
"$python" -m pytest -m gpu tests/gpu -p no:cacheprovider --junitxml "$out/gpu-tests.xml" || failed=1
for objective in ar masked; do
  "$python" -m isobyte.cli.main bench train --device cuda --objective "$objective" \
    --sizes ${SIZES:-113M 1028M} --window "${WINDOW:-1024}" --batch "${BATCH:-8}" --seconds "${SECONDS_A_SIZE:-20}" \
    --json --out "$out/$objective" >"$out/bench-$objective.json" || failed=1
done
for graphs in True False; do
  "$python" -m isobyte.cli.main bench sample "${SHAPE:-blt-1b}" --device cuda --bf16 --graphs "$graphs" --batch 8 \
    --lengths 256 1024 --drafts 4 8 --refresh never at_boundary --mean-length 4 --peer-bytes \
    --json --out "$out/graphs-$graphs" >"$out/bench-sample-$graphs.json" || failed=1
done
exit $failed
