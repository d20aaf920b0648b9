"""A part of `make check`: no circle of imports between modules, neither inside functions nor for type checkers."""

import sys
from graphlib import CycleError, TopologicalSorter

import grimp

graph = grimp.build_graph("autointerp", cache_dir=None)
try:
    TopologicalSorter({m: graph.find_modules_directly_imported_by(m) for m in graph.modules}).prepare()
except CycleError as error:
    sys.exit(f"A circle of imports: {' <- '.join(error.args[1])}")
