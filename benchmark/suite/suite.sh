#!/bin/sh
exec python3 benchmark/suite/suite.py --osmem tools/osmem --workloads benchmark/suite/workloads "$@"
