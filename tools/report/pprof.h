/*
 * A heap profile in pprof's format (github.com/google/pprof, proto/profile.proto), which pprof, go
 * tool pprof, speedscope and others show: for each call stack the blocks and bytes allocated in
 * all, and those live at the moment of the analysis, estimated from the samples.
 */
#ifndef OSMEM_TOOLS_REPORT_PPROF_H
#define OSMEM_TOOLS_REPORT_PPROF_H

#include <string>

#include "tools/report/analysis.h"
#include "tools/report/symbols.h"

namespace osmem {

// The file's bytes; not compressed, which readers of the format accept.
std::string pprof_profile(const TraceReader &trace, const Analysis &analysis,
                          const Symbols &symbols);

} // namespace osmem

#endif
