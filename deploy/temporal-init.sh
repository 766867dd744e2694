#!/bin/sh
# Namespace and search attributes; repeats harmlessly.
set -eu
temporal operator namespace describe -n barograph >/dev/null 2>&1 ||
  temporal operator namespace create -n barograph --retention 2160h
temporal operator search-attribute create -n barograph --name BarographInit --type Datetime
for name in Run Miner Stage Pass Campaign Cause Spec TruthVersion; do
  temporal operator search-attribute create -n barograph --name "Barograph$name" --type Keyword
done
