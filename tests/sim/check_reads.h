#pragma once
// A read returns, for each sector, the last write: one of this reign that none which was acknowledged before the read
// was submitted comes after, or what the disk held when the reign began.

#include "tests/sim/clients.h"

namespace drseed::sim {

void check_read(WorldView& world, const Request& request);

}  // namespace drseed::sim
