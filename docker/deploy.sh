#!/bin/sh
# Tell a Prefect server what there is to run: the work pool, the limit on GPUs, and the deployments of prefect.yaml.
# Saying it again changes nothing.
set -eu
cd "$(dirname "$0")"
prefect --no-prompt work-pool create actlas --type process --overwrite
python -c "import sys; from flows.scheduling import serve; serve.prepare(int(sys.argv[1]))" "${ACTLAS_GPUS:-1}"
prefect --no-prompt deploy --all --prefect-file "${ACTLAS_DEPLOYMENTS:-prefect.yaml}"
