/*
 * The map of a process as an outsider sees it: the process is stopped by ptrace(2), all threads of
 * it, for as long as its tables are copied (which its parent does not notice), and goes on.
 *
 * Where the tables are tells the variable os_map_layout (osmem/map_format.h) of the drop-in library
 * or of a program that osmem is linked into, found by its symbol.
 */
#ifndef OSMEM_TOOLS_MAP_PROCESS_MAP_H
#define OSMEM_TOOLS_MAP_PROCESS_MAP_H

#include <sys/types.h>

#include "tools/map/snapshot.h"

namespace osmem {

// Stops the process, looks, lets it go on. Failure: there is no such process, one may not look into
// it, or it does not run on osmem.
Snapshot process_map(pid_t process);

// The same of a process that is stopped already, or about to end.
Snapshot process_map_stopped(pid_t process);

} // namespace osmem

#endif
