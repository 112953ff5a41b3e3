#!/bin/bash
# A CMake project with find_package: each of the imported targets.
. "$(dirname "$0")/installed.sh"
need cmake gcc g++ make

mkdir project
cp "$PROGRAMS"/{served.h,calls.c,replaced.c,operators.cc} project
cat >project/CMakeLists.txt <<CMAKE
cmake_minimum_required(VERSION 3.13)
project(consumer C CXX)
set(CMAKE_CXX_STANDARD 17)
find_package(osmem $VERSION EXACT REQUIRED CONFIG)
find_package(osmem 1.0 REQUIRED)

add_executable(shared calls.c)
target_link_libraries(shared osmem::osmem)
add_executable(static calls.c)
target_link_libraries(static osmem::osmem_static)
add_executable(replaced replaced.c)
target_link_libraries(replaced osmem::malloc)
add_executable(operators operators.cc)
target_link_libraries(operators osmem::malloc_static)

find_package(osmem 99 QUIET)
if(osmem_FOUND)
  message(FATAL_ERROR "$VERSION passes for 99")
endif()
CMAKE
cmake -S project -B build -DCMAKE_PREFIX_PATH="$PREFIX" >log 2>&1 || { cat log; fail "cmake"; }
cmake --build build >log 2>&1 || { cat log; fail "the build"; }

needs build/shared libosmem.so.1
served build/shared
needs_not build/static libosmem.so.1
served build/static
needs build/replaced libosmem-malloc.so.1
served build/replaced
needs_not build/operators libosmem-malloc.so.1
served build/operators
