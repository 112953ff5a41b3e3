/* scenarios.h - the protocols between threads, each as a few threads and what must hold after them.
 */
#ifndef OSMEM_TEST_SCHEDULES_SCENARIOS_H
#define OSMEM_TEST_SCHEDULES_SCENARIOS_H

#include "test/schedules/explorer.h"

#include <vector>

namespace osmem::schedules {

const std::vector<Scenario> &scenarios();

/* With more threads and more steps: for hours. */
const std::vector<Scenario> &long_scenarios();

} // namespace osmem::schedules

#endif
