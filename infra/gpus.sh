#!/usr/bin/env bash
# Spark's GPU discovery script: the addresses of this machine's NVIDIA GPUs, in the form Spark asks for.
addresses=$(nvidia-smi --query-gpu=index --format=csv,noheader | sed 's/.*/"&"/' | paste -sd, -)
echo "{\"name\": \"gpu\", \"addresses\": [$addresses]}"
